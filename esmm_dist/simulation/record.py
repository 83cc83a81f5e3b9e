"""The record of a simulation, simulation.json beside its truth: what was asked for and came out.

Written before the first part, with the folders that are the simulation's own, and again when all
is there. Nothing is ever written into, or removed from, a folder that no record calls its own.
"""

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.sections import Config
from esmm_dist.contract.simulation import Simulation
from esmm_dist.simulation.dirt import LOGS
from esmm_dist.simulation.intercepts import Intercepts

RECORD = "simulation.json"
FORMAT_VERSION = 1


def settings_of(config: Config) -> dict[str, Any]:
    """All that the rows depend on."""
    document = config.model_dump(mode="json")
    logs = {
        log: {key: document["logs"][log][key] for key in ("partition", "columns")} for log in LOGS
    }
    logs["conversions"]["types"] = document["logs"]["conversions"]["types"]
    samples = {key: document["samples"][key]
               for key in ("days", "click_window_hours", "conversion_window_hours")}
    simulate = {key: value for key, value in document["simulate"].items() if key != "path"}
    return {"day_timezone": document["logs"]["day_timezone"], "logs": logs, "samples": samples,
            "simulate": simulate}


def digest_of(config: Config) -> str:
    """The identity of what a config draws, wherever it lies."""
    text = json.dumps(settings_of(config), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def claim_folders(config: Config, simulation: Simulation, *, replace: bool) -> None:
    """Makes sure that the folders hold nothing but parts of this simulation, and says in the record
    whose they are.

    Args:
        replace: removes what another simulation of the same folders left.

    Raises:
        InputError: a folder holds what is not this simulation's.
    """
    folders = [str(Path(getattr(config.logs, log).place)) for log in LOGS]
    folders += [str(Path(simulation.path) / name) for name in ("truth", "users")]
    path = Path(simulation.path) / RECORD
    found = _read(path)
    if found.get("digest") != digest_of(config):
        owned = found.get("folders", [])
        for folder in folders:
            if not Path(folder).is_dir() or not any(Path(folder).iterdir()):
                continue
            if folder not in owned:
                raise InputError(f"{folder}: it holds files that {path} knows nothing of: give "
                                 "another path, or remove them yourself")
            if not replace:
                raise InputError(f"{folder}: it holds another simulation: give --replace to remove "
                                 "it, or another path")
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
    elif found.get("folders") != folders:
        raise InputError(f"{path}: its logs lie in {', '.join(found['folders'][:3])}: give "
                         "simulate.path another folder for logs elsewhere")
    if found.get("digest") != digest_of(config):
        _write(path, {"digest": digest_of(config), "folders": folders, "is_complete": False})


def check_drawn_as(config: Config) -> None:
    """Refuses a truth that was drawn by other settings than the config's, or not to its end.

    Raises:
        InputError: names the record and what to do.
    """
    assert config.simulate is not None
    path = Path(config.simulate.path) / RECORD
    found = _read(path)
    if not found:
        raise InputError(f"{path}: no simulation there: run esmm_dist.simulate")
    if found.get("digest") != digest_of(config):
        raise InputError(f"{path}: it was drawn by other settings than the config's: simulate and "
                         "build again, or give the config it was drawn by")
    if not found.get("is_complete"):
        raise InputError(f"{path}: the simulation was interrupted: run esmm_dist.simulate")


def complete(
    config: Config, simulation: Simulation, intercepts: Intercepts,
    tally_of_day: Mapping[str, Counter[str]],
) -> Path:
    """Says in the record that all is there, and what it came to; returns where."""
    path = Path(simulation.path) / RECORD
    _write(path, _read(path) | {
        "is_complete": True, "settings": settings_of(config),
        "intercepts": intercepts._asdict(),
        "days": {day: dict(tally) for day, tally in tally_of_day.items()},
    })
    return path


def _read(path: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        raise InputError(f"{path}: it cannot be read: remove it and the folders of its "
                         "logs") from None
    return document


def _write(path: Path, document: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps({"format_version": FORMAT_VERSION, **document}, indent=1),
                         encoding="utf-8")
    os.replace(temporary, path)
