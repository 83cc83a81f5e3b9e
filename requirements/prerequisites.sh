#!/usr/bin/env bash
# Says in one line what is missing on this machine for `make setup`, and how to get it; else nothing.
#
# usage: prerequisites.sh     heeds PYTHON, JAVA_HOME, CXX and HOROVOD_CMAKE, as the builds do
set -euo pipefail

die() { echo "$*"; exit 1; }
# at_least HAVE WANT: is version HAVE at least WANT?
at_least() { [[ $(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1) == "$2" ]]; }

check_python() {
    local python
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
    version=$("$java" -version 2>&1 | sed -n 's/.* version "\([0-9.]*\).*/\1/p' | head -n 1) || true
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

check_python
check_java
check_compiler
