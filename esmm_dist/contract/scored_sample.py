"""A few rows as a bundle keeps them: their ids, and what the trainer's own code predicts of them.

Whoever loads the model elsewhere scores these rows, and must find the same.
"""

from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from esmm_dist.contract.errors import InputError


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ScoredRow(_Document):
    """One row."""

    sample_id: int
    ids: dict[str, int | list[int]]
    """By feature: its id, or those of a multi-valued one."""
    weights: dict[str, list[float]] = {}
    """Of multi-valued features that have weights: one an id."""
    ctr_logit: float | None
    """As the model predicts it, before calibration; of what a method does not predict, none."""
    cvr_logit: float | None
    ctcvr_logit: float | None = None
    """None: pCTCVR is pCTR * pCVR."""
    cvr_log_p: float | None = None
    """log pCVR, instead of its logit, of a method whose pCVR may exceed 1."""
    p_ctr: float | None
    """As they are served: after calibration."""
    p_cvr: float | None
    p_ctcvr: float | None


class ScoredSample(_Document):
    """Rows of the last test day."""

    rows: tuple[ScoredRow, ...]

    @classmethod
    def parse(cls, text: str, source: str) -> Self:
        """Reads what `model_dump_json` wrote.

        Raises:
            InputError: the text is no sample; `source` names the file.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError:
            raise InputError(f"{source}: no readable sample: publish the run again") from None
