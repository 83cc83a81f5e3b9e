"""The bundle: one trained model with all that scoring, serving or a later training need of it.

An immutable directory, named by its content: `bundle.json` lists every part with its checksum, and
the directory's name is the SHA-256 of that file. What serves is said by aliases, a numbered
document beside the bundles; like a manifest it is created if absent, and the highest number that
reads whole wins. No part is ever unpickled.
"""

import hashlib
import json
import re
from datetime import datetime
from pathlib import PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from esmm_dist.contract.days import DayRange
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.value_kinds import ValueKind

INDEX = "bundle.json"

# The parts every bundle has. The model's folder has the form of a checkpoint.
CONFIG = "config.yaml"
ENCODINGS = "encodings.json"
CALIBRATION = "calibration.json"
METRICS = "metrics.json"
CARD = "model_card.md"
SAMPLE = "sample.json"
MODEL = "model"
NEEDED = (CONFIG, ENCODINGS, CALIBRATION, METRICS, CARD, SAMPLE, f"{MODEL}/index.json")
# What esmm_dist.export left of the run, if it did.
EXPORT = "export"

ALIASES = "_aliases"
CURRENT, PREVIOUS, WITHDRAWN = "current", "previous", "withdrawn"

_ALIAS = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_LOOKS_LIKE_A_NAME = re.compile(r"[0-9a-f]{8,64}")
NAME = re.compile(r"[0-9a-f]{64}")


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _inside(path: str) -> str:
    """A part's path must not lead out of its bundle."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or str(pure) != path:
        raise ValueError("no path inside a bundle")
    return path


class Part(_Document):
    """One file of a bundle."""

    path: Annotated[str, AfterValidator(_inside)]
    """Relative to the bundle."""
    num_bytes: int
    sha256: str


class BundleIndex(_Document):
    """The content of bundle.json. No time stands in it: the same model makes the same bundle."""

    format_version: Literal[1] = 1
    run: str
    """The name of the run that trained it."""
    method: str
    fingerprint: str
    """Of the feature declaration."""
    encodings: str
    """Content hash of the vocabularies and boundaries it was trained with."""
    train_days: DayRange
    test_days: DayRange
    """The days that its metrics come from, predicted by it or by folds of its run."""
    manifest: int
    """Number of the samples manifest that the run is pinned to."""
    parent: str | None = None
    """The bundle that training began from, if any."""
    value_kinds: dict[str, ValueKind] = {}
    """By feature, crosses aside, how the values that it learned from were logged; of one that is
    not there nobody noted it."""
    parts: tuple[Part, ...]
    """In order of their paths."""

    def to_json(self) -> str:
        """The text of bundle.json."""
        return self.model_dump_json(indent=1) + "\n"

    @classmethod
    def parse(cls, text: str, source: str) -> Self:
        """Reads bundle.json.

        Raises:
            InputError: it is none, or names no model; `source` names the file.
        """
        try:
            index = cls.model_validate_json(text)
        except ValidationError:
            raise InputError(
                f"{source}: damaged, or of another version: publish the run again"
            ) from None
        listed = {part.path for part in index.parts}
        missing = next((path for path in NEEDED if path not in listed), None)
        if missing is not None:
            raise InputError(f"{source}: it lists no {missing}: publish the run again")
        return index


def name_of(index_text: str) -> str:
    """A bundle's name, from the text of its bundle.json."""
    return hashlib.sha256(index_text.encode()).hexdigest()


class Aliases(_Document):
    """Which bundle each alias means, as one switch left them."""

    format_version: Literal[1] = 1
    number: int
    switched_at: datetime
    bundle_of_alias: dict[str, str] = Field(default_factory=dict)
    sha256: str | None = None
    """The digest, as it was written; of an older switch nobody noted it."""

    @property
    def digest(self) -> str:
        """SHA-256 of the number and of what each alias means."""
        text = json.dumps([self.number, self.bundle_of_alias], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def check_alias(alias: str) -> str:
    """Refuses what cannot be told from a bundle's name.

    Raises:
        InputError: names the alias.
    """
    if not _ALIAS.fullmatch(alias) or _LOOKS_LIKE_A_NAME.fullmatch(alias):
        raise InputError(
            f"the alias {alias!r}: write small letters, digits, - and _, not like a bundle's name"
        )
    return alias
