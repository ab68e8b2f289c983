#!/usr/bin/env bash
# Wheels for a GPU machine with Python 3.12, torch, numpy, scipy, opencv, pandas, seaborn and no network:
#     envs/wheels.sh build/wheels
# There, in the checkout (torch stays the machine's own):
#     python3 -m pip install --no-index --no-deps --target /tmp/site build/wheels/*.whl
#     RFBENCH_COMMIT=… PYTHONPATH=.:workflow:/tmp/site python3 -m rfbench gpu --output gpu.json
# (RFBENCH_COMMIT only where the checkout travels without its .git)
# Versions are those of envs/gpu.txt.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:?envs/wheels.sh: expected the folder to write, for example build/wheels}

# What the network and its configuration import and such a machine lacks, with their dependencies.
pinned=(addict annotated-types ftfy onedl-mmengine platformdirs prettytable pydantic pydantic-core termcolor
    typing-extensions typing-inspection wcwidth yapf)
sdist=(onedl-mmcv onedl-mmsegmentation) # built here; mmcv without its compiled operators, which no model uses
pin() { grep -oE "^$1==[^ ]+" envs/gpu.txt || { echo "envs/wheels.sh: envs/gpu.txt has no $1" >&2; exit 1; }; }

rm -rf "$folder" && mkdir -p "$folder"
pip=(python3 -m pip --quiet --disable-pip-version-check)
for name in "${pinned[@]}"; do pin "$name"; done > "$folder/pins.txt"
there=(--no-deps --only-binary=:all: --python-version 3.12 --implementation cp --platform manylinux_2_28_x86_64
    --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64)
"${pip[@]}" download "${there[@]}" --dest "$folder" --requirement "$folder/pins.txt"
for name in "${sdist[@]}"; do "${pip[@]}" wheel --no-deps --wheel-dir "$folder" "$(pin "$name")"; done
"${pip[@]}" wheel --no-deps --no-build-isolation --wheel-dir "$folder" . # for its version; the checkout's code goes first
rm "$folder/pins.txt"
"${pip[@]}" install --dry-run "${there[@]}" --no-index --target "$folder/none" "$folder"/*.whl # each fits there
du -sh "$folder"
