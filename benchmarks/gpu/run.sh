#!/usr/bin/env bash
# Measure Torchlurk on a machine with CUDA, Python 3.11 or later, torch and torchvision, and without a network:
#
#   benchmarks/gpu/run.sh [FILES [OUT [OPTIONS]]]
#
# FILES is the folder that prepare.sh has filled (.gpu by default). OUT gets gpu.json and gpu.txt; by default it
# is $OUT or gpu-results. It takes less than nine minutes. What was measured is written while it is measured.
# OPTIONS go to `python -m benchmarks.gpu`, such as --device cpu --tiny.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
files=$(realpath "${1:-$root/.gpu}")
out=$(realpath -m "${2:-${OUT:-gpu-results}}")
shift $(($# < 2 ? $# : 2))
python=${PYTHON:-python3}
site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
if [ -d "$files/wheels" ]; then
    # The names without versions: pip chooses the wheel of the Python that runs.
    "$python" -m pip install --quiet --no-index --find-links "$files/wheels" --no-deps --no-compile \
        --disable-pip-version-check --target "$site" --requirement "$files/packages.txt" ||
        echo "the wheels do not suit this Python; going on with the packages that are installed" >&2
fi
cd "$root"
export PYTHONPATH="$root:$site${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
"$python" -m benchmarks.gpu "$files" "$out" "$@"
