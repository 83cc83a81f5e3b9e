"""Scores of impressions on disk: where they come from, and the manifest that commits them.

A directory of scores is published as one of samples is: files first, then a manifest under the next
free number, created only if absent; the highest one that reads whole wins. Parquet, one row a row
of the table that was scored:
* the columns named by `score.keys`, as they stand in the table;
* `p_ctr`, `p_cvr`, `p_ctcvr`, float32: those that the model's method predicts, calibrated.
"""

from datetime import date, datetime
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.manifest import manifest_path
from esmm_dist.contract.mistakes import one_line

DAY = "day"


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ScoreFile(_Document):
    """One Parquet file."""

    path: str
    """Relative to the directory of scores."""
    num_rows: int
    num_bytes: int


class ScoredDay(_Document):
    """The scores of one day."""

    day: date
    build_id: str
    scored_at: datetime
    bundle: str
    """The full name of the bundle that scored it."""
    columns: tuple[str, ...]
    """Keys, then probabilities."""
    files: tuple[ScoreFile, ...]
    num_rows: int
    """Of the table, and of the files."""


class ScoresManifest(_Document):
    """All days of a directory of scores."""

    format_version: Literal[1] = 1
    number: int
    created_at: datetime
    days: tuple[ScoredDay, ...]
    """In order of date; no date twice."""

    @property
    def path(self) -> str:
        """Its own path, relative to the directory of scores."""
        return manifest_path(self.number)

    @classmethod
    def parse(cls, text: str, source: str) -> Self:
        """Reads a manifest's text.

        Raises:
            InputError: it is none; `source` names the file.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise InputError(
                f"{source}: no readable manifest of scores ({one_line(error, None, cls)}): score "
                "the days again into another score.path"
            ) from None
