"""The command `gentest init`: `gentest check --write` by another name, and templates for a model yet to be made."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from gentest._support.printable import printable
from gentest.cli import check_model
from gentest.cli.write_tests import Answers, write_tests
from gentest.cli.written_places import check_folder
from gentest.errors import InvalidArgument

HELP = "check a model, and write a conftest.py, tests and a CI workflow that do the same"
DESCRIPTION = (
    "gentest init MODEL is gentest check MODEL --write: it checks the model, and writes conftest.py, test_latent.py "
    "and .github/workflows/gentest.yml. gentest init --template KIND writes them for a model that you fill in. No file "
    "is overwritten without --force."
)
TEMPLATES: Mapping[str, str] = {
    "gan": "a GAN, or any function of latents that gives images",
    "autoencoder": "an autoencoder, whose decoder is the generator",
    "pipeline": "a text-to-image pipeline of diffusers",
    "onnx": "an ONNX export",
    "other": "a generator of other outputs: audio, tables, tokens",
}
"""The templates, and the model that each is for."""


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments: those of `gentest check`, and the template."""
    check_model.add_to(parser)
    (model,) = (action for action in parser._actions if action.dest == "model")
    model.nargs, model.required = "?", False
    kinds = "; ".join(f"{name}: {what}" for name, what in TEMPLATES.items())
    parser.add_argument("--template", choices=tuple(TEMPLATES), help=f"without MODEL, write files for {kinds}")
    parser.set_defaults(write=Path())


def run(options: argparse.Namespace, rest: Sequence[str] = ()) -> int:
    """Check the model and write the files, or write those of a template."""
    if options.model is not None:
        if options.template is not None:
            raise InvalidArgument("--template is for files without a model: leave out MODEL or --template")
        return check_model.run(options, rest)
    if options.template is None:
        names = ", ".join(TEMPLATES)
        raise InvalidArgument(
            f"Expected MODEL, such as my_model:load or gan.onnx; or --template with one of {names}, for a model that "
            "is still to be made"
        )
    check_folder(options.write, force=options.force)
    answers = skeleton(options.template)
    sys.stdout.write(printable("\n".join(write_tests(answers, options.write))) + "\n")
    return 0


def skeleton(template: str) -> Answers:
    """The answers for a model that is still to be made."""
    if template in ("autoencoder", "pipeline"):
        form = "pipeline" if template == "pipeline" else "function"
        return Answers(template, form=form, latent="", output_range=None)
    return Answers(template, output_range=None if template == "other" else Answers.output_range)
