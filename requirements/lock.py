"""Resolves the locks from setup.cfg's extras and build.in; must not install anything.

usage: python lock.py [--upgrade]

Versions already locked are kept where they still fit; with --upgrade the newest that fit are taken.
Runs on a bare Python 3.11: pip comes from a throwaway environment.
"""

import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
LOCK_HEADER = """\
# Every package of the environment, exactly as tried: CPython 3.11, Linux x86-64.
# Made by `make lock` from the extras of setup.cfg and from requirements/build.in: change those, not
# this. `make lock` keeps the versions that still fit; `make lock UPGRADE=1` takes the newest.
# Horovod is not here: build_horovod.sh builds it from the archive pinned in horovod.txt.
# torch's CPU-only and CUDA builds share one version: which of the two is installed depends on what
# pip is pointed at (PIP_FIND_LINKS, PIP_EXTRA_INDEX_URL).
"""


AIRFLOW_HEADER = """\
# Every package of Airflow's environment, exactly as tried: CPython 3.11, Linux x86-64. It is apart
# from the project's own, whose packages Airflow's would break. Made by `make lock`, as lock.txt is.
"""


class Lock(NamedTuple):
    """A file of pins, and what they are resolved from."""

    path: Path
    header: str
    wanted: tuple[str, ...]
    """As pip takes them."""


LOCKS = (
    Lock(ROOT / "requirements" / "lock.txt", LOCK_HEADER,
         ("--requirement", str(ROOT / "requirements" / "build.in"),
          f"{ROOT}[train,addresses,trees,export,serve,spark,dev]")),
    Lock(ROOT / "requirements" / "airflow.txt", AIRFLOW_HEADER, (f"{ROOT}[airflow]",)),
)


def resolved_versions(lock: Lock, upgrade: bool) -> dict[str, str]:
    """Returns package name -> version as pip would install them into an empty environment."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        report = Path(folder) / "report.json"
        command = [f"{folder}/bin/python", "-m", "pip", "install", "--quiet", "--dry-run"]
        command += ["--ignore-installed", "--report", str(report), *lock.wanted]
        if lock.path.exists() and not upgrade:
            command += ["--constraint", str(lock.path)]
        subprocess.run(command, check=True)
        chosen = [item["metadata"] for item in json.loads(report.read_text())["install"]]
    # A local version (+cpu) names a build of the same release, not another release.
    return {m["name"]: m["version"].split("+")[0] for m in chosen if m["name"] != "esmm-dist"}


def main() -> None:
    for lock in LOCKS:
        versions = resolved_versions(lock, upgrade="--upgrade" in sys.argv[1:])
        pins = [f"{name}=={versions[name]}\n" for name in sorted(versions, key=str.lower)]
        lock.path.write_text(lock.header + "".join(pins))
        print(f"{len(pins)} packages pinned in {lock.path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
