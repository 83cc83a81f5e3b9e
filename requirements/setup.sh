#!/usr/bin/env bash
# Makes .venv: the lock, Horovod's wheel and esmm_dist; prerequisites.sh has found what that needs.
#
# usage: setup.sh STAMP     STAMP is touched at the end; `make setup` names it by what it depends on
#
# Must not change anything outside .venv, build/ and the wheel cache. Each stage that is done leaves
# its key in .venv, so that a changed setup.cfg does not install the lock again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
stamp=${1:?usage: setup.sh STAMP}
log=build/setup.log
# The interpreter below any virtual environment that is active: ours is about to be replaced.
python=$("${PYTHON:-python3.11}" -c 'import sys; print(sys._base_executable)')
die() { echo "setup: $*" >&2; exit 1; }

# stage TEXT COMMAND…: one line on the terminal, everything else in the log
stage() {
    local text=$1 started=$SECONDS
    shift
    printf 'setup: %-66s' "$text" >&2
    if ! "$@" >>"$log" 2>&1 </dev/null; then
        echo "failed" >&2
        local reason
        reason=$(grep -E '^build_horovod: |^ERROR: ' "$log" | tail -n 1) || reason=$(tail -n 1 "$log")
        die "${reason:-no reason given} (full log: $log)"
    fi
    printf '%4d s\n' "$((SECONDS - started))" >&2
}
done_before() { [[ $(cat ".venv/$1.key" 2>/dev/null) == "$2" ]]; }
note_done() { echo "$2" >".venv/$1.key"; }

make_environment() { "$python" -m venv --clear .venv; }
install_lock() {
    .venv/bin/python -m pip install --no-input --no-compile -r requirements/lock.txt || return
    # pip would compile on one core; like pip, go on where a package carries a file that cannot be.
    .venv/bin/python -m compileall -q -j 0 .venv/lib || true
}
build_horovod() { requirements/build_horovod.sh "$PWD/.venv/bin/python" >.venv/horovod.wheel; }
install_horovod() { .venv/bin/python -m pip install --no-deps --no-index --force-reinstall "$(cat .venv/horovod.wheel)"; }
install_package() { .venv/bin/python -m pip install --no-input --no-deps --no-build-isolation --editable .; }
check_versions() { .venv/bin/python -m pip check; }

mkdir -p build
exec 9>build/setup.lock
flock 9
: >"$log"

# The lock replaces the environment whole: what it no longer names must not stay. A virtual
# environment does not survive being moved either.
packages_key=$(sha256sum <requirements/lock.txt | cut -c1-16)-$python-$PWD
if ! done_before packages "$packages_key"; then
    stage "a fresh environment in .venv" make_environment
    stage "$(grep -c '^[a-zA-Z]' requirements/lock.txt) packages, as pinned in requirements/lock.txt" install_lock
    note_done packages "$packages_key"
fi
stage "Horovod's wheel (built once a machine, about 4 minutes)" build_horovod
if ! done_before horovod "$(cat .venv/horovod.wheel)"; then
    stage "Horovod" install_horovod
    note_done horovod "$(cat .venv/horovod.wheel)"
fi
stage "esmm_dist, editable" install_package
stage "every package finds what it needs (pip check)" check_versions
rm -f .venv/ready-*
touch "$stamp"
