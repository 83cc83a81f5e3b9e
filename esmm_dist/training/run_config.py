"""The config in a run's folder, under a first line that tells whether the rest is whole.

A file that was cut short is YAML all the same, and its lost sections would pass for their defaults.
"""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from esmm_dist.contract.config import dump_config, load_config
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.sections import Config
from esmm_dist.storage.files import write

CONFIG = "config.yaml"

_SEAL = re.compile(rb"# SHA-256 of all that follows: ([0-9a-f]{64})")


def write_run_config(run_path: Path, config: Config) -> None:
    """Makes or replaces it."""
    content = dump_config(config)
    digest = _sha256(content.encode())
    write(run_path / CONFIG, f"# SHA-256 of all that follows: {digest}\n{content}")


def read_run_config(run_path: Path, overrides: Sequence[str] = ()) -> Config:
    """What was written, with overrides as --set gives them.

    Runs of older versions have no such first line, and are taken as they are.

    Raises:
        InputError: there is none, it is not what was written, or an override is none.
    """
    path = run_path / CONFIG
    _check(path)
    return load_config(path, overrides)


def _check(path: Path) -> None:
    try:
        first, _, content = path.read_bytes().partition(b"\n")
    except OSError:
        return  # whoever loads it says why it cannot
    seal = _SEAL.fullmatch(first)
    if seal and seal[1].decode() != _sha256(content):
        raise InputError(
            f"{path}: it was cut short or changed after training wrote it: esmm_dist.train "
            "--resume, with the config that the run began with, writes it again; --set changes "
            "values"
        )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
