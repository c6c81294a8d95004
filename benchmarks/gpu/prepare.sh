#!/usr/bin/env bash
# Collect in a folder what run.sh needs and a bare machine lacks, less than 64 MiB:
#
#   benchmarks/gpu/prepare.sh IMAGES [FILES [PYTHON_VERSION...]]
#
# IMAGES is a folder of small images with a subfolder for each class, such as tiny-ImageNet's; the first 2,000 are
# taken. FILES is .gpu by default, which git ignores. The wheels are for Linux on x86-64 and the given versions of
# Python, 3.11 to 3.13 by default. numpy and Pillow are not among them: torchvision needs them itself.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
images=$(realpath "${1:?usage: prepare.sh IMAGES [FILES [PYTHON_VERSION...]]}")
files=$(realpath -m "${2:-$root/.gpu}")
shift $(($# < 2 ? $# : 2))
versions=("$@")
[ ${#versions[@]} -gt 0 ] || versions=(3.11 3.12 3.13)
python=${PYTHON:-$root/.venv/bin/python}
mkdir -p "$files"
cat >"$files/packages.txt" <<END
click
hypothesis
iniconfig
jinja2
markupsafe
msgspec
packaging
platformdirs
pluggy
pygments
pytest
safetensors
sortedcontainers
tqdm
END
platforms=(--platform manylinux2014_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux_2_28_x86_64)
for version in "${versions[@]}"; do
    "$python" -m pip download --quiet --no-deps --only-binary=:all: --python-version "$version" \
        --implementation cp "${platforms[@]}" --disable-pip-version-check --dest "$files/wheels" \
        --constraint "$root/requirements/constraints.txt" --requirement "$files/packages.txt"
done
cd "$root"
PYTHONPATH="$root" "$python" -m benchmarks.gpu.files "$images" "$files"
size=$(du --summarize --block-size=1 "$files" | cut -f1)
echo "$files: $((size / 1048576)) MiB"
[ "$size" -lt $((64 * 1048576)) ] || { echo "more than 64 MiB" >&2; exit 1; }
