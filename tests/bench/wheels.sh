#!/usr/bin/env bash
# Collects the wheels that gentest and its benchmarks need on a GPU machine without a network, which has Python 3.12
# with torch, torchvision, NumPy and SciPy. Run it here, carry the folder there, and then, in the repository:
#     python3 -m pip install --no-index --no-deps FOLDER/*.whl
#     python3 -m pip install --no-index --no-deps --no-build-isolation -e .
#     python3 -m tests.bench.gpu --json tests/bench/results/DEVICE.json
# `--list` prints the packages and downloads nothing.
# usage: tests/bench/wheels.sh FOLDER | --list
set -euo pipefail
dest=${1:?usage: tests/bench/wheels.sh FOLDER | --list}

packages=(
  # gentest, with all that its dependencies depend on
  anyio click filelock fsspec ftfy h11 hf-xet httpcore2 httpx2 huggingface-hub hypothesis idna iniconfig jinja2
  lazy-loader markdown-it-py markupsafe mdurl open-clip-torch packaging pillow pluggy pygments pytest pyyaml regex rich
  safetensors sortedcontainers timm tqdm truststore typing-extensions wcwidth xxhash
  # the editable install
  editables hatchling pathspec trove-classifiers
  # the face GAN, whose file of the network needs torch alone
  gan-face-generate==1.1.1
)
if [ "$dest" = --list ]; then
  printf '%s\n' "${packages[@]}"
  exit
fi
mkdir -p "$dest"
python3 -m pip download -q --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
  --abi cp312 --abi abi3 --abi none --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 \
  --platform manylinux2014_x86_64 --platform any -d "$dest" "${packages[@]}"
ls -sh "$dest"
