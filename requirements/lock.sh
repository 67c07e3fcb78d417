#!/usr/bin/env bash
# Resolves the *.in files in an empty environment and writes the exact versions: `make lock`.
set -euo pipefail
cd "$(dirname "$0")"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"${PYTHON:-python3}" -m venv "$scratch/venv"
pip() { "$scratch/venv/bin/python" -m pip --disable-pip-version-check --quiet "$@"; }

pip install --upgrade pip
pip install --retries 1 --no-deps -r torch.txt # apart, so that its index is not asked for everything
pip install -r runtime.in
pip freeze --all --exclude pip --exclude torch >runtime.txt
pip install -r dev.in
pip freeze --all --exclude pip --exclude torch | grep -vixFf runtime.txt >dev.txt
