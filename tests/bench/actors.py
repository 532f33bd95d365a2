"""One search on a local Ray cluster of so many CPUs, in a process of its own: seconds and what it decided, as JSON.

python -m tests.bench.actors CPUS GENERATOR PROBES
"""

# ruff: noqa: T201 - `speed.py` reads what it prints
from __future__ import annotations

import json
import logging
import sys
import time

import ray

import gentest
from tests.bench import models

if __name__ == "__main__":
    n_cpus, name, n_probes = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    ray.init(num_cpus=n_cpus, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    generator, own = models.named(name), gentest.between(gentest.brightness(), tolerance=0.3)
    seconds = 0.0
    for seed in (1, 2):  # actors start and load in the first; the second looks at other probes
        looks = gentest.settings(examples=n_probes, device="cpu", ray="local", seed=seed)
        started = time.perf_counter()
        result = own.check(generator, settings=looks)
        seconds = time.perf_counter() - started
    decided = [result.verdict.value, result.examples, str(result.margin), result.message]
    print(json.dumps({"seconds": seconds, "decided": decided}))
