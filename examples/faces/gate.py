"""Gates equal copies of the face GAN, and one ruined copy.

    python examples/faces/gate.py --runs 50

The script blesses the package's own weights. Then it gates, each in a run of `pytest --gentest` of its own,

- the same weights, saved again by torch, by torch in its older format, and by safetensors, with batch sizes from 16 to
  256;
- weights with Gaussian noise of 0.6 standard deviations of their tensor (seed 0), which ruins the faces.

It exits with status 0 if all copies were held without drift, and if the noisy one kept every property but the direction
that brightens faces, drifted in sharpness, and was refused for drift alone (`--gentest-drift fail`, without that
direction).
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import cycle, islice
from math import log
from pathlib import Path
from typing import Any

import gan_face_generate
import torch
from safetensors.torch import save_file

from conftest import weights

HERE = Path(__file__).resolve().parent
BATCHES = (16, 32, 64, 128, 256)
NOISE = 0.6
OWN = Path(gan_face_generate.__file__).parent / "weights.tar"


def copies(folder: Path) -> dict[str, Path]:
    """Files of the same weights, by name."""
    own = weights(OWN)
    paths = {name: folder / name for name in ("again.pt", "older.pt", "copy.safetensors")}
    torch.save({"netG_state_dict": own}, paths["again.pt"])
    torch.save({"netG_state_dict": own}, paths["older.pt"], _use_new_zipfile_serialization=False)
    save_file({name: tensor.contiguous() for name, tensor in own.items()}, paths["copy.safetensors"])
    return paths


def perturbed(strength: float) -> dict[str, torch.Tensor]:
    """The package's own weights, with noise of `strength` standard deviations of each tensor (seed 0)."""
    own = weights(OWN)
    rng = torch.Generator().manual_seed(0)
    for name, tensor in own.items():
        if tensor.is_floating_point() and name.endswith(("weight", "bias")) and tensor.numel() > 1:
            own[name] = tensor + strength * tensor.std() * torch.randn(tensor.shape, generator=rng)
    return own


def noisy(folder: Path) -> Path:
    """A file of weights with noise of `NOISE` standard deviations."""
    path = folder / "noisy.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in perturbed(NOISE).items()}, path)
    return path


def run(*arguments: str) -> int:
    """Exit status of pytest on the tests of this folder."""
    # copies of the blessed weights in other files are undecided, since a fixture that ignores its file looks the same
    options = ["-q", "--gentest", "--gentest-undecided", "warn", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *options, str(HERE), *arguments]
    return subprocess.run(command, cwd=HERE, capture_output=True, check=False).returncode


def gate(folder: Path, baseline: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit status of pytest on a candidate against the baseline, and the comparison."""
    path = folder / "results.json"
    status = run("--gentest-baseline", str(baseline), "--gentest-json", str(path), *arguments)
    comparison: dict[str, Any] = json.loads(path.read_text())["gate"]
    return status, comparison


def verdicts(folder: Path) -> dict[str, str]:
    """The verdict of each property in the last run, the gate aside."""
    results = json.loads((folder / "results.json").read_text())["results"]
    return {result["property"]: result["verdict"] for result in results}


def main() -> None:
    """Bless, gate the copies, gate the noisy one."""
    parser = argparse.ArgumentParser(description="The gate on copies of the face GAN.")
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--examples", default="30", help="probes of the search, which the gate does not need")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        baseline = folder / "blessed.json"
        quick = ("--gentest-examples", args.examples)
        started = time.monotonic()
        run("--gentest-save-baseline", str(baseline), *quick)
        print(f"blessed in {time.monotonic() - started:.0f} s, {baseline.stat().st_size / 1e3:.0f} kB")
        held = 0
        kinds: Iterator[tuple[str, Path]] = cycle(copies(folder).items())
        for (kind, path), batch in islice(zip(kinds, cycle(BATCHES), strict=False), args.runs):
            started = time.monotonic()
            size = ("--gentest-batch-size", str(batch))
            status, found = gate(folder, baseline, "--gentest-checkpoint", str(path), *size, *quick)
            standings = {compared["gate"]["standing"] for compared in found["properties"]}
            drifted = [drift["what"] for drift in found["drifts"] if drift["drifted"]]
            good = status == 0 and standings == {"held"} and not drifted
            held += good
            word = "held, drift not found" if good else f"exit {status}, {standings}, drift {drifted}"
            print(f"{kind:<17} batch {batch:>3}  {word}  {time.monotonic() - started:.0f} s", flush=True)
        checkpoint = ("--gentest-checkpoint", str(noisy(folder)), *quick)
        warned, found = gate(folder, baseline, *checkpoint)
        sharpness = next(drift for drift in found["drifts"] if drift["what"] == "level of sharpness()")
        for key, verdict in verdicts(folder).items():
            print(f"noisy: {verdict:<17} {key}")
        for compared in found["properties"]:
            print(f"noisy: {compared['gate']['standing']:<9} {compared['property']}")
        lost = {c["property"].split("(")[0] for c in found["properties"] if c["gate"]["standing"] != "held"}
        without = (*checkpoint, "-k", "not brightens")
        kept, _ = gate(folder, baseline, *without)
        refused, _ = gate(folder, baseline, *without, "--gentest-drift", "fail")
        print(
            f"noisy: sharpness drifts by {sharpness['mean']:+.2f} sd, evidence e^{sharpness['log_evidence']:.0f}, "
            f"certain after {sharpness['certain_at']} latents; exit {warned}, "
            f"without the direction {kept}, and then with --gentest-drift fail {refused}"
        )
        print(f"{held} of {args.runs} copies held without drift")
        certain = sharpness["drifted"] and 0 < sharpness["certain_at"] <= 256 and sharpness["needed"] > log(1000)
        told = lost == {"steers"} and (warned, kept, refused) == (1, 0, 1)
        sys.exit(0 if held == args.runs and certain and told else 1)


if __name__ == "__main__":
    main()
