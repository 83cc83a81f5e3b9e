#!/usr/bin/env bash
# Builds Horovod's wheel from its source archive with the fixes of horovod.patch, once per cache.
#
# usage: build_horovod.sh PYTHON     PYTHON is the interpreter that the wheel is for
# Prints the wheel's path, and the whole build on standard error.
#
# Must not install anything: setup.sh does. The cache lies outside the checkout, so that a fresh
# clone takes seconds:
#   ${ESMM_DIST_CACHE:-${XDG_CACHE_HOME:-~/.cache}/esmm-dist}/wheels/KEY/horovod-*.whl
# HOROVOD_GPU=1 builds with NCCL operations for CUDA tensors; it needs nvcc, NCCL's headers and a
# CUDA build of torch.
set -euo pipefail

python=${1:?usage: build_horovod.sh PYTHON}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
die() { echo "build_horovod: $*" >&2; exit 1; }

settings=(
    HOROVOD_WITH_PYTORCH=1 HOROVOD_WITH_GLOO=1
    HOROVOD_WITHOUT_MPI=1 HOROVOD_WITHOUT_TENSORFLOW=1 HOROVOD_WITHOUT_MXNET=1
    # Gloo uses the fixed-width integers without including them, which newer compilers refuse.
    "CXXFLAGS=-include cstdint"
    # Gloo asks for CMake 2.8, which CMake 4 refuses unless told what to take it for.
    CMAKE_POLICY_VERSION_MINIMUM=3.5
)
device=cpu
read -r version torch tags < <("$python" - "$here/horovod.txt" <<'PY'
import platform, re, sys, sysconfig
from importlib.metadata import version

pinned = re.search(r"^horovod==(\S+)", open(sys.argv[1]).read(), re.M).group(1)
# The C library is part of the key: home folders, and so caches, are shared between images.
tags = (f"cp{sys.version_info.major}{sys.version_info.minor}", sysconfig.get_platform(), *platform.libc_ver())
print(pinned, version("torch"), "-".join(tags))
PY
) || die "$python has no torch installed: run \`make setup\`, which installs it first"
if [[ ${HOROVOD_GPU:-0} == 1 ]]; then
    [[ $torch != *+cpu ]] || die "HOROVOD_GPU=1 needs a CUDA build of torch, but torch $torch is installed"
    command -v nvcc >/dev/null || die "HOROVOD_GPU=1 needs nvcc: install the CUDA toolkit or put its bin folder on PATH"
    settings+=(HOROVOD_GPU_OPERATIONS=NCCL)
    device=nccl
fi

fixes=$( { cat "$here/horovod.txt" "$here/horovod.patch"; printf '%s\n' "${settings[@]}"; } | sha256sum | cut -c1-12)
cache=${ESMM_DIST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/esmm-dist}
target=$cache/wheels/$version-$fixes-torch$torch-$tags-$device
found=("$target"/horovod-*.whl)
if [[ -f ${found[0]} ]]; then
    echo "${found[0]}"
    exit
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$target"

build() {
    cd "$work"
    "$python" -m pip download --no-deps --no-binary horovod --no-build-isolation --require-hashes \
        --dest sdist --requirement "$here/horovod.txt"
    tar -xzf sdist/horovod-*.tar.gz
    patch --strip=1 --fuzz=0 --directory="horovod-$version" <"$here/horovod.patch"
    # Horovod takes a set MAKEFLAGS for a wish of the user's: under `make` it would build on one core.
    env -u MFLAGS -u MAKELEVEL MAKEFLAGS="-j$(nproc)" PATH="$(dirname "$python"):$PATH" "${settings[@]}" \
        "$python" -m pip wheel --no-deps --no-build-isolation --wheel-dir wheel "./horovod-$version"
    local wheel
    wheel=$(basename wheel/horovod-*.whl)
    # A wheel appears in the cache whole or not at all.
    cp "wheel/$wheel" "$target/.$wheel.$$"
    mv "$target/.$wheel.$$" "$target/$wheel"
}
# Not `build || die`: bash would then go on after a failed line inside build.
set +e
(set -e; build) >&2 </dev/null
status=$?
set -e
((status == 0)) || die "Horovod $version did not build"
found=("$target"/horovod-*.whl)
echo "${found[0]}"
