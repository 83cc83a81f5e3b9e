"""What is imported, what setup.cfg asks for and what the lock pins must be one set of packages."""

import ast
import configparser
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
OURS = {"esmm_dist", "jobs", "tests", "benchmarks"}
# Built by requirements/build_horovod.sh and therefore neither asked for nor pinned
BUILT = {"horovod"}
# Heavy, and by choice: left out of the lock, and installed by whoever wants it
UNLOCKED_EXTRA, UNLOCKED = "tracking", {"mlflow"}
# Installed by benchmarks/train.py into an environment of its own
PEERS = {"deepctr_torch", "torch_rechub", "fbgemm_gpu"}


def requirements_in(text: str) -> list[Requirement]:
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [Requirement(line) for line in lines if line]


def asked_for(environment: str = "lock.txt") -> list[Requirement]:
    """What setup.cfg asks for in one of the two environments, by the lock it is pinned in."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    declared = [config["options"]["install_requires"]]
    for extra, text in config["options.extras_require"].items():
        if extra == UNLOCKED_EXTRA:
            continue
        if (extra == "airflow") == (environment == "airflow.txt"):
            declared.append(text)
    if environment == "lock.txt":
        declared.append((ROOT / "requirements" / "build.in").read_text())
    return [requirement for text in declared for requirement in requirements_in(text)]


def pinned(environment: str = "lock.txt") -> dict[str, str]:
    lock = (ROOT / "requirements" / environment).read_text()
    pins = [line.split("==") for line in lock.splitlines() if not line.startswith("#")]
    return {canonicalize_name(name): exact for name, exact in pins}


def imported_packages(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def imports_of_the_tree() -> dict[str, Path]:
    """Returns each package from outside that is imported -> a file that does."""
    folders = (ROOT / name for name in ("esmm_dist", "jobs", "benchmarks", "tests", "requirements"))
    files = sorted(path for folder in folders for path in folder.rglob("*.py"))
    beside = {path.stem for path in files}
    return {
        name: path
        for path in files
        for name in imported_packages(path.read_text())
        if name not in sys.stdlib_module_names | OURS | BUILT | UNLOCKED | PEERS | beside
    }


@pytest.mark.parametrize(
    ("environment", "requirement"),
    [(name, wanted) for name in ("lock.txt", "airflow.txt") for wanted in asked_for(name)],
    ids=str,
)
def test_the_lock_pins_a_version_that_fits(environment: str, requirement: Requirement) -> None:
    exact = pinned(environment).get(canonicalize_name(requirement.name))
    assert exact is not None, f"{requirement.name} is not in the lock: run `make lock`"
    assert requirement.specifier.contains(exact), f"the lock has {exact}: run `make lock`"


def test_the_environment_is_the_locked_one() -> None:
    installed = {name: version(name).split("+")[0] for name in pinned()}
    assert installed == pinned()


def test_what_is_imported_is_asked_for() -> None:
    """A package that is only there because another needs it may be gone with the next lock."""
    asked = {canonicalize_name(requirement.name) for requirement in asked_for()}
    distributions_of = packages_distributions()
    undeclared = {
        f"{name} in {path.relative_to(ROOT)}"
        for name, path in imports_of_the_tree().items()
        if asked.isdisjoint(map(canonicalize_name, distributions_of.get(name, [])))
    }
    assert undeclared == set()
