#!/usr/bin/env bash
# Makes .venv-airflow: Airflow as pinned in airflow.txt, and esmm_dist, whose contract the DAG reads.
#
# usage: setup_airflow.sh STAMP     STAMP is touched at the end
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
stamp=${1:?usage: setup_airflow.sh STAMP}
log=build/setup_airflow.log
python=$("${PYTHON:-python3.11}" -c 'import sys; print(sys._base_executable)')

mkdir -p build
exec 9>build/setup_airflow.lock
flock 9
printf 'setup: %-66s' "Airflow, $(grep -c '^[a-zA-Z]' requirements/airflow.txt) packages in .venv-airflow" >&2
started=$SECONDS
make_environment() {
    "$python" -m venv --clear .venv-airflow || return
    .venv-airflow/bin/python -m pip install --no-input --no-compile -r requirements/airflow.txt || return
    .venv-airflow/bin/python -m compileall -q -j 0 .venv-airflow/lib || true
    # The checkout itself is importable: its contract needs what the lock holds, and nothing is built.
    echo "$PWD" >"$(echo .venv-airflow/lib/python*/site-packages)/esmm_dist.pth"
    .venv-airflow/bin/python -m pip check
}
if ! make_environment >"$log" 2>&1 </dev/null; then
    echo "failed" >&2
    echo "setup: $(grep '^ERROR: ' "$log" | tail -n 1 || tail -n 1 "$log") (full log: $log)" >&2
    exit 1
fi
printf '%4d s\n' "$((SECONDS - started))" >&2
touch "$stamp"
