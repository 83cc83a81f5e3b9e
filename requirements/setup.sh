#!/usr/bin/env bash
# Makes .venv: checks the prerequisites, then installs the lock, Horovod's wheel and esmm_dist.
#
# usage: setup.sh STAMP     STAMP is touched at the end; `make setup` names it by what it depends on
#
# Must not change anything outside .venv, build/ and the wheel cache. Each stage that is done leaves
# its key in .venv, so that a changed setup.cfg does not install the lock again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
stamp=${1:?usage: setup.sh STAMP}
log=build/setup.log
die() { echo "setup: $*" >&2; exit 1; }

# ---------------------------------------------------------------- prerequisites
# at_least HAVE WANT: is version HAVE at least WANT?
at_least() { [[ $(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1) == "$2" ]]; }

check_python() {
    # The interpreter below any virtual environment that is active: ours is about to be replaced.
    python=$("${PYTHON:-python3.11}" -c 'import sys; print(sys._base_executable)' 2>/dev/null) ||
        die "Python 3.11 is missing: install python3.11 with its venv and dev packages, or name it by PYTHON=/path/to/python3.11"
    [[ $("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') == 3.11 ]] ||
        die "Python 3.11 is needed, but $python is $("$python" -V): name another by PYTHON=/path/to/python3.11"
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        die "$python cannot make virtual environments: install python3.11-venv"
    [[ -f $("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h ]] ||
        die "$python has no C headers, which Horovod is compiled against: install python3.11-dev"
}

check_java() {
    # Spark takes JAVA_HOME before PATH.
    local java=${JAVA_HOME:+$JAVA_HOME/bin/}java version
    version=$("$java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1) || true
    [[ -n $version ]] || die "Java 17 or newer is missing: install openjdk-17-jre-headless, or set JAVA_HOME"
    at_least "$version" 17 || die "Java 17 or newer is needed, but $java is $version: install openjdk-17-jre-headless, or set JAVA_HOME"
}

check_compiler() {
    local compiler=${CXX:-c++} cmake=${HOROVOD_CMAKE:-cmake} version
    command -v "$compiler" >/dev/null || die "a C++17 compiler is missing: install g++ (9 or newer), or name one by CXX=…"
    echo '#include <optional>
          int main() { if constexpr (true) return std::optional<int>(0).value(); }' |
        "$compiler" -std=c++17 -fsyntax-only -x c++ - 2>/dev/null ||
        die "$compiler does not compile C++17: install g++ 9 or newer, or name one by CXX=…"
    version=$("$cmake" --version 2>/dev/null | sed -n 's/^cmake version \([0-9.]*\).*/\1/p') || true
    [[ -n $version ]] || die "CMake 3.13 or newer is missing: install cmake"
    at_least "$version" 3.13 || die "CMake 3.13 or newer is needed, but $cmake is $version: install a newer cmake"
    local tool
    for tool in make patch flock; do
        command -v "$tool" >/dev/null || die "$tool is missing: install ${tool/#flock/util-linux}"
    done
}

# ---------------------------------------------------------------- stages
# stage TEXT COMMAND…: one line on the terminal, everything else in the log
stage() {
    local text=$1 started=$SECONDS
    shift
    printf 'setup: %-66s' "$text" >&2
    if ! "$@" >>"$log" 2>&1 </dev/null; then
        echo "failed" >&2
        die "$(grep -E '^build_horovod: |^ERROR: ' "$log" | tail -n 1 || true) (full log: $log)"
    fi
    printf '%4d s\n' "$((SECONDS - started))" >&2
}
done_before() { [[ $(cat ".venv/$1.key" 2>/dev/null) == "$2" ]]; }
note_done() { echo "$2" >".venv/$1.key"; }

make_environment() { "$python" -m venv --clear .venv; }
install_lock() { .venv/bin/python -m pip install --no-input -r requirements/lock.txt; }
build_horovod() { requirements/build_horovod.sh "$PWD/.venv/bin/python" build/horovod.log >.venv/horovod.wheel; }
install_horovod() { .venv/bin/python -m pip install --no-deps --no-index --force-reinstall "$(cat .venv/horovod.wheel)"; }
install_package() { .venv/bin/python -m pip install --no-input --no-deps --no-build-isolation --editable .; }
check_versions() { .venv/bin/python -m pip check; }

check_python
check_java
check_compiler
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
