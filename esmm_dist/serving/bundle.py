"""A bundle on disk, opened: every part checked against its checksum, nothing unpickled.

It needs neither torch nor Spark; what its tensors mean, their readers know.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

from esmm_dist.contract import bundle as form
from esmm_dist.contract.bundle import NAME, BundleIndex, Part, name_of
from esmm_dist.contract.calibration import Calibration
from esmm_dist.contract.config import load_config
from esmm_dist.contract.encodings import Encodings
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.features import fingerprint
from esmm_dist.contract.scored_sample import ScoredSample
from esmm_dist.contract.sections import Config
from esmm_dist.storage.address import path_of, reason_of
from esmm_dist.storage.files import kept_at_hand


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: what it holds has been found whole, and of one declaration."""

    path: Path
    name: str
    """SHA-256 of its index, which names every part by its own."""
    index: BundleIndex

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Opens a bundle and checks all of it; of one elsewhere, a copy of this process's own.

        Raises:
            InputError: there is none, it lacks a part, a part is damaged, or the parts are of
                different declarations.
        """
        found = cls.glance(path)
        bundle = replace(found, path=kept_at_hand(found.path))
        for part in bundle.index.parts:
            check_part(bundle.path, part, found.path)
        bundle._check_declaration()
        return bundle

    @classmethod
    def glance(cls, path: str | Path) -> Self:
        """Reads the index alone, to say what a bundle is; its parts have not been looked at.

        Raises:
            InputError: there is none, or the index is not what its folder's name says.
        """
        path = path_of(path)
        source = path / form.INDEX
        text = _text(source, "no bundle there: give an alias, a bundle's name, or its folder")
        name = name_of(text)
        if NAME.fullmatch(path.name) and path.name != name:
            raise InputError(
                f"{source}: its content is that of {name[:12]}, its folder's name is "
                f"{path.name[:12]}: it was changed or damaged: publish the run again"
            )
        return cls(path, name, BundleIndex.parse(text, str(source)))

    @cached_property
    def config(self) -> Config:
        """The config that the model was trained with, all defaults written out."""
        return load_config(self.path / form.CONFIG)

    @cached_property
    def encodings(self) -> Encodings:
        """The vocabularies and boundaries that the model was trained with."""
        return Encodings.parse(self.text(form.ENCODINGS), str(self.path / form.ENCODINGS))

    @property
    def model_path(self) -> Path:
        """The folder of the weights, in the form of a checkpoint."""
        return self.path / form.MODEL

    @property
    def export_path(self) -> Path | None:
        """The folder of what was exported; None if nothing was."""
        prefix = f"{form.EXPORT}/"
        is_there = any(part.path.startswith(prefix) for part in self.index.parts)
        return self.path / form.EXPORT if is_there else None

    @property
    def calibration(self) -> Calibration:
        """What its predictions are mapped by before they are served."""
        return Calibration.parse(self.text(form.CALIBRATION), str(self.path / form.CALIBRATION))

    @property
    def sample(self) -> ScoredSample:
        """A few rows with what the trainer's own code predicts of them."""
        return ScoredSample.parse(self.text(form.SAMPLE), str(self.path / form.SAMPLE))

    def text(self, part: str) -> str:
        """The text of a part such as metrics.json."""
        return _text(self.path / part, "the bundle has lost a part")

    def check_fingerprint(self, expected: str, source: str) -> None:
        """Refuses to serve another declaration of features.

        Args:
            source: names what expects it.

        Raises:
            InputError: names both fingerprints.
        """
        if self.index.fingerprint != expected:
            raise InputError(
                f"{self.path}: it was trained on features {self.index.fingerprint[:12]}, {source} "
                f"declares {expected[:12]}: give a bundle of these features"
            )

    def _check_declaration(self) -> None:
        self.check_fingerprint(fingerprint(self.config.features), form.CONFIG)
        if self.encodings.content_hash != self.index.encodings:
            raise InputError(
                f"{self.path / form.ENCODINGS}: its content is {self.encodings.content_hash[:12]}, "
                f"the bundle means {self.index.encodings[:12]}: publish the run again"
            )


def check_part(
    folder: Path, part: Part, source: Path, whole: str = "bundle",
    hint: str = "publish the run again",
) -> None:
    """Compares a file with what the index says of it.

    Args:
        source: names the folder in errors.
        whole: what it is a part of.
        hint: what to do about a file that is not what it was.

    Raises:
        InputError: it is missing, or its content differs.
    """
    own, path = folder / part.path, source / part.path
    try:
        is_whole = own.stat().st_size == part.num_bytes and sha256_of(own) == part.sha256
    except OSError as error:
        raise InputError(f"{path}: {reason_of(error)}: the {whole} has lost a part") from None
    if not is_whole:
        raise InputError(
            f"{path}: its checksum differs from the {whole}'s: the file is damaged: {hint}"
        )


def parts_of(folder: Path, paths: Iterable[Path]) -> tuple[Part, ...]:
    """What the index says of some files below a folder, in order of their paths."""
    return tuple(
        Part(path=path.relative_to(folder).as_posix(), num_bytes=path.stat().st_size,
             sha256=sha256_of(path))
        for path in sorted(paths)
    )


def sha256_of(path: Path) -> str:
    """The checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _text(path: Path, hint: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {reason_of(error)}: {hint}") from None
