"""The calibration of a model: monotone maps from what it predicts to rates that were observed.

A document only: `evaluation` fits it, the room `calibration` applies it.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from esmm_dist.contract.days import DayRange
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.sections import Config

CalibratedTask = Literal["ctr", "cvr", "ctcvr"]


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PlattMap(_Document):
    """logit p = slope * score + intercept (Platt 1999)."""

    kind: Literal["platt"]
    slope: Annotated[float, Field(gt=0)]
    intercept: float


class IsotonicMap(_Document):
    """p by straight lines between points, constant beyond the first and the last (Zadrozny and
    Elkan, KDD 2002)."""

    kind: Literal["isotonic"]
    score: Annotated[tuple[float, ...], Field(min_length=1)]
    """Increasing."""
    p: tuple[float, ...]
    """Never decreasing, above 0 and below 1."""

    @model_validator(mode="after")
    def _monotone(self) -> "IsotonicMap":
        in_order = all(a < b for a, b in zip(self.score, self.score[1:])) and all(
            a <= b for a, b in zip(self.p, self.p[1:])
        )
        if len(self.score) != len(self.p) or not in_order or not 0 < self.p[0] <= self.p[-1] < 1:
            raise ValueError("no isotonic map")
        return self


CalibrationMap = Annotated[PlattMap | IsotonicMap, Field(discriminator="kind")]


Unclicked = Literal["all kept", "weighted", "corrected"]


class Calibration(_Document):
    """By task the map of its score: of the logit or, where a method predicts p(conversion | click)
    as a quotient, of its logarithm. A task without a map is served as predicted; pCTCVR is the
    product of the two calibrated rates wherever the method does not predict it by itself."""

    maps: dict[CalibratedTask, CalibrationMap] = {}
    days: DayRange | None = None
    """The held-out days that taught the maps; none, where there are none."""
    unclicked: Unclicked = "all kept"
    """How leaving out un-clicked samples was undone: not needed; by the weights of the samples in
    the loss; or unweighted, by a shift of the CTR logit which the predictions carry already. It
    must not be done again."""

    @classmethod
    def parse(cls, text: str, source: str) -> Self:
        """Reads what `model_dump_json` wrote.

        Raises:
            InputError: the text is no calibration; `source` names the file.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError:
            raise InputError(f"{source}: no readable calibration: publish the run again") from None


def unclicked_in(config: Config) -> Unclicked:
    """How the models of a config make up for un-clicked samples that were left out."""
    return "all kept" if config.samples.unclicked_rate == 1 else config.train.unclicked
