#!/usr/bin/env bash
# Build the environment of one lock: envs/install.sh LOCK VENV, for example envs/install.sh envs/cpu.txt .venv
# Repeatable: a finished environment of the same lock is left as it is.
set -euo pipefail
cd "$(dirname "$0")/.."
lock=$1 venv=$2

fits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }
candidates=(python3 python3.11 python3.12 python3.13)
[ -z "${PYTHON:-}" ] || candidates=("$PYTHON")
for python in "${candidates[@]}"; do fits "$python" && break; done
fits "$python" || {
    echo "envs/install.sh: Python 3.11, 3.12 or 3.13 is needed, found $("${candidates[0]}" --version 2>&1). Set PYTHON=/path/to/python3.11." >&2
    exit 1
}
case $PWD in *[\":]*)
    echo "envs/install.sh: $PWD: no program starts from a folder whose path has a double quote or a colon. Move the clone." >&2
    exit 1 ;;
esac
stamp=$venv/.rfbench-lock
if cmp --silent "$lock" "$stamp"; then
    echo "environment: $venv matches $lock"
    exit 0
fi
echo "environment: building $venv from $lock (a few minutes, once)"
"$python" -m venv --clear "$venv"
pip=("$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps)
# torch first and without a hash; its own index is asked once, so that a machine without that index goes on.
"${pip[@]}" --retries 1 $(grep -E '^--extra-index-url' "$lock" || true) "$(grep -oE '^torch==[0-9.]+' "$lock")"
"${pip[@]}" --require-hashes -r <(grep -vE '^(torch==|--extra-index-url)' "$lock")
"${pip[@]}" --no-build-isolation --editable .
cp "$lock" "$stamp"
echo "environment: $venv is ready"
