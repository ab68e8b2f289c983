#!/usr/bin/env bash
# Renew envs/cpu.txt and envs/gpu.txt from pyproject.toml. Needs uv (pip install uv).
set -euo pipefail
cd "$(dirname "$0")/.."
compile() { # further options -> the lock's body
    uv pip compile --quiet pyproject.toml --extra dev --override envs/overrides.txt --generate-hashes \
        --python-version 3.11 --python-platform x86_64-manylinux_2_28 --no-header --no-annotate \
        --no-emit-package torch "$@"
}
head_of() { # sentence naming the build of torch
    echo "# Exact pins for Python 3.11, $1. Written by envs/lock.sh; installed by envs/install.sh with --no-deps."
    echo "# torch carries no hash: its wheel differs by platform."
}
torch=$(grep -oE 'torch==[0-9.]+' pyproject.toml | head -n 1)

gpu=$(compile)
{ head_of "Linux x86-64 with an NVIDIA GPU"; echo "$torch"; echo "$gpu"; } > envs/gpu.txt

cuda=$(echo "$gpu" | grep -oE '^(nvidia-[a-z0-9-]+|cuda-[a-z0-9-]+|triton)' | sed 's/^/--no-emit-package /')
# shellcheck disable=SC2086
{ head_of "CPU only"; echo "--extra-index-url https://download.pytorch.org/whl/cpu"; echo "$torch"; compile $cuda; } > envs/cpu.txt
