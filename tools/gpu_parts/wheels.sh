#!/usr/bin/env bash
# Wheels that tools/gpu_check.py needs on a machine with torch, Python 3.12 and no network:
#
#   tools/gpu_parts/wheels.sh FOLDER
#   python3 -m pip install --no-index --no-deps --target SITE FOLDER/*.whl     # there
set -euo pipefail
folder=${1:?usage: tools/gpu_parts/wheels.sh FOLDER}
version() { sed -n "s/^$1==//p" "$(dirname "$0")/../../constraints.txt"; }
for name in pydantic pydantic_core typing-inspection annotated-types typing_extensions; do
    python3 -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.12 \
        --implementation cp --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
        --dest "$folder" "$name==$(version "$name")"
done
