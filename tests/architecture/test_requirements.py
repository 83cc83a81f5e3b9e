"""What setup.cfg asks for and what the lock pins must be one set of packages."""

import configparser
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]


def requirements_in(text: str) -> list[Requirement]:
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [Requirement(line) for line in lines if line]


def asked_for() -> list[Requirement]:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    declared = [config["options"]["install_requires"], *config["options.extras_require"].values()]
    declared.append((ROOT / "requirements" / "build.in").read_text())
    return [requirement for text in declared for requirement in requirements_in(text)]


def pinned() -> dict[str, str]:
    lock = (ROOT / "requirements" / "lock.txt").read_text()
    pins = [line.split("==") for line in lock.splitlines() if not line.startswith("#")]
    return {canonicalize_name(name): exact for name, exact in pins}


@pytest.mark.parametrize("requirement", asked_for(), ids=str)
def test_the_lock_pins_a_version_that_fits(requirement: Requirement) -> None:
    exact = pinned().get(canonicalize_name(requirement.name))
    assert exact is not None, f"{requirement.name} is not in the lock: run `make lock`"
    assert requirement.specifier.contains(exact), f"the lock has {exact}: run `make lock`"


def test_the_environment_is_the_locked_one() -> None:
    installed = {name: version(name).split("+")[0] for name in pinned()}
    assert installed == pinned()
