"""What is scored with a published model: the config's section `score`.

Values only: `scoring` reads the table and writes the scores.
"""

from typing import Annotated

from pydantic import Field, field_validator

from esmm_dist.contract.features import Section
from esmm_dist.contract.logs import ImpressionSource
from esmm_dist.contract.outputs import PROBABILITIES

OWN_COLUMNS = ("day", *PROBABILITIES)


class Score(Section):
    """What jobs/score_impressions.py scores, and where the scores go."""

    impressions: ImpressionSource | None = None
    """The table to score: it has the features' columns, and rows filed under days as a log has.
    None: logs.impressions."""
    keys: Annotated[tuple[str, ...], Field(min_length=1)] = ("impression_id",)
    """Columns of the table that the scores keep, by which they are looked up."""
    path: str | None = None
    """The directory of the scores and their manifests; None: scores/ in the run's folder."""

    @field_validator("keys")
    @classmethod
    def _plain(cls, keys: tuple[str, ...]) -> tuple[str, ...]:
        for place, key in enumerate(keys):
            if key.lower() in OWN_COLUMNS:
                raise ValueError(f"the scores have a column {key!r} of their own")
            if key.lower() in [other.lower() for other in keys[:place]]:
                raise ValueError(f"the column {key!r} is named twice")
        return keys
