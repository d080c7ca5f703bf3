#!/usr/bin/env bash
# Builds the wheel of duality_ssd for this platform into a folder, with the tag that PyPI takes.
#
#     python/wheel/build.sh PYTHON FOLDER
#
# PYTHON has setuptools and auditwheel. The tag names the oldest C library that the wheel runs with: that of the machine which
# builds it, or older. What the library needs beyond the platform would be copied into the wheel; it needs nothing.
set -euo pipefail
python=$1
mkdir -p "$2"
folder=$(cd "$2" && pwd)
cd "$(dirname "$0")/.."

raw=$(mktemp -d)
trap 'rm -rf "$raw"' EXIT
# Building leaves folders behind, so a copy is built.
cp -r . "$raw/python"
rm -rf "$raw/python/src/duality_ssd.egg-info" "$raw/python/build"
library=${DUALITY_LIBRARY:-}
if [ -z "$library" ]; then
    "$python" setup.py --quiet library
    library=$(cd .. && pwd)/.build-python/release/libduality_ssd.so
fi
DUALITY_LIBRARY="$library" "$python" -m pip wheel -q --disable-pip-version-check --no-deps --no-build-isolation -w "$raw" "$raw/python"
rm -f "$folder"/duality_ssd-*.whl
PATH="$(dirname "$python"):$PATH" "$python" -m auditwheel repair --wheel-dir "$folder" "$raw"/duality_ssd-*.whl >"$raw/log" 2>&1 || { cat "$raw/log"; exit 1; }
for wheel in "$folder"/duality_ssd-*.whl; do
    echo "$(basename "$wheel"), $(($(stat -c %s "$wheel") / 1000)) kB: python3 -m pip install $2/$(basename "$wheel")"
done
