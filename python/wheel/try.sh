#!/usr/bin/env bash
# Tries the wheel in a folder: in a virtual environment of this machine, with the whole test suite of the package, and on a Debian
# that has never seen Swift, which debootstrap makes (for root only; elsewhere it is left out, and said).
#
#     python/wheel/try.sh PYTHON FOLDER SCRATCH
set -euo pipefail
python=$1
here=$(cd "$(dirname "$0")" && pwd)
wheel=$(ls "$(cd "$2" && pwd)"/duality_ssd-*.whl)
mkdir -p "$3"
scratch=$(cd "$3" && pwd)

echo "in a virtual environment:"
rm -rf "$scratch/venv"
"$python" -m venv "$scratch/venv"
"$scratch/venv/bin/python" -m pip install -q --disable-pip-version-check "$wheel" pytest ml_dtypes
"$scratch/venv/bin/python" "$here/smoke.py" --toolchain
# From another folder, so that the package is the installed one.
(cd "$scratch" && "$scratch/venv/bin/python" -m pytest -q -rs -p no:cacheprovider "$here/../tests" --rootdir "$scratch")

echo "on a Debian without Swift:"
if [ "$(id -u)" != 0 ]; then
    echo "left out: debootstrap needs root"
    exit 0
fi
root=$scratch/debian
if [ ! -e "$root/made" ]; then
    rm -rf "$root"
    debootstrap --variant=minbase --include=python3-numpy,python3-pip,python3-venv "${DEBIAN_SUITE:-bookworm}" "$root" ${DEBIAN_MIRROR:-} \
        >"$scratch/debootstrap.log" 2>&1 || { tail -5 "$scratch/debootstrap.log"; exit 1; }
    touch "$root/made"
fi
cp "$wheel" "$here/smoke.py" "$root/root/"
chroot "$root" /bin/bash -c "rm -rf /root/venv && python3 -m venv --system-site-packages /root/venv && \
    /root/venv/bin/python -m pip install -q --disable-pip-version-check --no-index --no-deps /root/$(basename "$wheel") && cd / && /root/venv/bin/python /root/smoke.py"
