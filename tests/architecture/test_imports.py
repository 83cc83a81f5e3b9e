"""Each half of a job must import on a machine that has none of the other half's libraries.

The contracts in setup.cfg read our own import lines; this runs them, and so also sees what the
libraries we import pull in. Every module of the package is covered by its place: a new room fails
here until it is given its libraries.
"""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "esmm_dist"

SPARK = {"pyspark", "py4j"}
HOROVOD = {"horovod"}
FILES = {"petastorm", "pyarrow", "pandas"}
TENSORS = {"torch", "safetensors", "tensorboard"}
ANALYSIS = {"sklearn", "scipy", "jinja2", "markupsafe"}
TERMINAL = {"rich", "tqdm"}
ADDRESSES = {"fsspec", "upath", "s3fs"}
ALL = SPARK | HOROVOD | FILES | TENSORS | ANALYSIS | TERMINAL | {"numpy"}

# What a room must import without. Modules directly under the package, the entry points, may need
# everything but Spark: they run where `pip install esmm-dist[train]` is all there is.
ABSENT_FOR = {
    "contract": ALL | ADDRESSES,
    "storage": ALL | ADDRESSES,
    "pages": ALL - {"jinja2", "markupsafe"},
    "quality": ALL - {"jinja2", "markupsafe"},
    "labelling": ALL - {"numpy", "pyarrow"},
    "samples": ALL - SPARK - {"numpy", "pyarrow"},
    "simulation": ALL - {"numpy", "pyarrow"},
    "calibration": ALL - {"numpy"},
    "scoring": ALL - SPARK - {"numpy", "pyarrow"},
    "serving": ALL - {"numpy", "pyarrow"},
    "interchange": SPARK | HOROVOD | FILES,
    "reader": SPARK | HOROVOD,
    "model": SPARK | HOROVOD | FILES,
    "distributed": SPARK | FILES,
    "training": SPARK | HOROVOD,
    "evaluation": SPARK | HOROVOD,
    "gating": SPARK | HOROVOD | FILES,
}
ABSENT_FOR_ENTRY_POINTS = SPARK

IMPORT_WITHOUT = """\
import importlib, sys
absent, modules = sys.argv[1].split(","), sys.argv[2:]
for name in absent:
    sys.modules[name] = None
for name in modules:
    try:
        importlib.import_module(name)
    except ImportError as error:
        sys.exit(f"{name} cannot be imported without {', '.join(absent)}: {error}")
"""


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def rooms() -> list[str]:
    return sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


def modules(paths: Iterable[Path]) -> list[str]:
    return [module_name(path) for path in sorted(paths)]


def import_without(absent: set[str], names: list[str]) -> str:
    """Imports the modules in a new interpreter; returns what it complained of, or nothing."""
    command = [sys.executable, "-c", IMPORT_WITHOUT, ",".join(sorted(absent)), *names]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    return done.stderr.strip() if done.returncode else ""


@pytest.mark.parametrize("room", rooms())
def test_a_room_imports_without_the_libraries_it_must_not_know(room: str) -> None:
    assert room in ABSENT_FOR, f"say in ABSENT_FOR what esmm_dist/{room} must import without"
    assert import_without(ABSENT_FOR[room], modules((PACKAGE / room).rglob("*.py"))) == ""


def test_entry_points_import_without_spark() -> None:
    assert import_without(ABSENT_FOR_ENTRY_POINTS, modules(PACKAGE.glob("*.py"))) == ""


def test_what_a_library_pulls_in_is_noticed() -> None:
    complaint = import_without({"numpy"}, ["pandas"])
    assert "pandas cannot be imported without numpy" in complaint


def test_every_init_is_empty() -> None:
    """An import in a package's __init__ is made by all who import any part of it."""
    inits = sorted(PACKAGE.rglob("__init__.py"))
    assert [str(path.relative_to(ROOT)) for path in inits if path.read_text()] == []


def test_every_folder_of_the_package_is_a_package() -> None:
    """A folder without __init__.py is imported from a checkout but left out of an installation."""
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []
