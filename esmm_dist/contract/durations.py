"""How long each command of a scheduled run took: one small file a command beside the run's folder,
for whoever watches from outside."""

from collections.abc import Iterator
from pathlib import Path

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.sections import Config
from esmm_dist.storage.address import path_of
from esmm_dist.storage.files import make_folder, write


def note_duration(config: Config, command: str, seconds: float) -> None:
    """Replaces what was noted of the command before."""
    folder = _folder(config)
    make_folder(folder)
    write(folder / command, f"{seconds:.3f}\n")


def durations_of(config: Config) -> Iterator[tuple[str, float]]:
    """Commands in the order of the alphabet, with their seconds.

    Raises:
        InputError: a file holds no number.
    """
    folder = _folder(config)
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue  # a draft
        text = path.read_text(encoding="utf-8")
        try:
            yield path.name, float(text)
        except ValueError:
            raise InputError(f"{path}: {text[:40]!r} is no number of seconds: remove it") from None


def _folder(config: Config) -> Path:
    return path_of(config.runs_path) / f"{config.name}.seconds"
