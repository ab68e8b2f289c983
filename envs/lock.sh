#!/usr/bin/env bash
# Renew envs/cpu.txt, envs/gpu.txt and envs/slurm.txt from pyproject.toml. Needs uv (pip install uv).
# One resolution for every Python and platform that pyproject.toml names, of which each lock leaves something out. What
# is pinned already stays, unless UPGRADE=1.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
compile() { # file that holds earlier pins, further options -> the file renewed
    uv pip compile --quiet pyproject.toml --extra dev --override envs/overrides.txt --generate-hashes --universal \
        --python-version 3.11 --no-header --no-annotate --no-emit-package torch --output-file "$@" > "$work/said"
}
names() { grep -oE '^[a-z0-9][a-z0-9._-]*' "$1"; }
without() { sed 's/^/--no-emit-package /'; } # names -> options
head_of() { # sentence naming the build of torch
    echo "# Exact pins for Python 3.11 to 3.13, $1. Written by envs/lock.sh; installed by envs/install.sh with --no-deps."
    echo "# torch carries no hash: its wheel differs by platform."
}
torch=$(grep -oE 'torch==[0-9.]+' pyproject.toml | head -n 1)
touch envs/gpu.txt envs/slurm.txt
if [ -z "${UPGRADE:-}" ]; then cat envs/gpu.txt envs/slurm.txt; fi | sed '/^torch==/d' > "$work/slurm"

compile "$work/slurm" --extra slurm
for lock in gpu cpu; do cp "$work/slurm" "$work/$lock"; done
compile "$work/gpu"
# shellcheck disable=SC2046
compile "$work/cpu" $(names "$work/gpu" | grep -E '^(nvidia-|cuda-|triton$)' | without)
# shellcheck disable=SC2046
compile "$work/slurm" --extra slurm $(names "$work/gpu" | without)

{ head_of "with an NVIDIA GPU"; echo "$torch"; cat "$work/gpu"; } > envs/gpu.txt
{ head_of "CPU only"; echo "--extra-index-url https://download.pytorch.org/whl/cpu"; echo "$torch"; cat "$work/cpu"; } > envs/cpu.txt
{ echo "# What a cluster's SLURM needs beside either: pip install --no-deps --require-hashes -r envs/slurm.txt"; cat "$work/slurm"; } > envs/slurm.txt
