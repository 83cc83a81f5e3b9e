"""Each half of a job must import on a machine that has none of the other half's libraries.

The contracts in setup.cfg read our own import lines; this runs them, and so also sees what the
libraries we import pull in. Every module of the package is covered by its place: a new room fails
here until it is given its libraries.
"""

import json
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
ENTRY_POINTS, ABSENT_FOR_ENTRY_POINTS = "entry points", SPARK

# Torch takes longer than all else: where it may be there it is, and a process forked from there
# imports each room's modules. What torch brought along must be none of what the room must not know.
IMPORT_EACH = """\
import importlib, json, os, sys
rooms, may_have = json.load(sys.stdin)
for name in may_have:
    importlib.import_module(name)
for room, (absent, modules) in rooms.items():
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        continue
    name, complaint = " ".join(may_have), ""
    try:
        for one in absent:
            if one in sys.modules:
                raise ImportError(f"it imports {one}")
            sys.modules[one] = None
        for name in modules:
            importlib.import_module(name)
    except ImportError as error:
        complaint = f"{name} cannot be imported without {', '.join(absent)}: {error}"
    print(json.dumps([room, complaint]), flush=True)
    os._exit(0)
"""


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def rooms() -> list[str]:
    return sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


def modules(paths: Iterable[Path]) -> list[str]:
    return [module_name(path) for path in sorted(paths)]


def import_each(rooms: dict[str, tuple[set[str], list[str]]]) -> dict[str, str]:
    """Imports each room's modules without what it must not know, each in an interpreter that has
    imported none of them; returns what those complained of, or nothing, by room."""
    complaints: dict[str, str] = {}
    for may_have_torch in (True, False):
        some = {room: (sorted(absent), modules) for room, (absent, modules) in rooms.items()
                if ("torch" not in absent) == may_have_torch}
        done = subprocess.run(
            [sys.executable, "-c", IMPORT_EACH], cwd=ROOT, capture_output=True, text=True,
            input=json.dumps((some, ["torch"] if may_have_torch else [])), timeout=240,
        )
        assert done.returncode == 0, done.stderr
        complaints |= dict(json.loads(line) for line in done.stdout.splitlines())
    return complaints


@pytest.fixture(scope="module")
def complaints() -> dict[str, str]:
    """Of all rooms, of the entry points, and of a library that cannot do without another."""
    return import_each({
        **{room: (ABSENT_FOR.get(room, set()), modules((PACKAGE / room).rglob("*.py")))
           for room in rooms()},
        ENTRY_POINTS: (ABSENT_FOR_ENTRY_POINTS, modules(PACKAGE.glob("*.py"))),
        "a library": ({"numpy", "torch"}, ["pandas"]),
        "torch": ({"typing_extensions"}, ["torch"]),
    })


@pytest.mark.parametrize("room", rooms())
def test_a_room_imports_without_the_libraries_it_must_not_know(
    room: str, complaints: dict[str, str]
) -> None:
    assert room in ABSENT_FOR, f"say in ABSENT_FOR what esmm_dist/{room} must import without"
    assert complaints[room] == ""


def test_entry_points_import_without_spark(complaints: dict[str, str]) -> None:
    assert complaints[ENTRY_POINTS] == ""


def test_what_a_library_pulls_in_is_noticed(complaints: dict[str, str]) -> None:
    assert "pandas cannot be imported without numpy" in complaints["a library"]
    assert complaints["torch"].startswith("torch cannot be imported without typing_extensions")


def test_every_init_is_empty() -> None:
    """An import in a package's __init__ is made by all who import any part of it."""
    inits = sorted(PACKAGE.rglob("__init__.py"))
    assert [str(path.relative_to(ROOT)) for path in inits if path.read_text()] == []


def test_every_folder_of_the_package_is_a_package() -> None:
    """A folder without __init__.py is imported from a checkout but left out of an installation."""
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []
