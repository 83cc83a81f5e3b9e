"""What becomes of a trained model: the config's sections `calibrate` and `publish`.

Values only: `evaluation` fits maps, `serving` writes bundles and switches aliases.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from esmm_dist.contract.days import DayRange
from esmm_dist.contract.features import Section


class Calibrate(Section):
    """The maps that predictions pass before they are served: one a task, learned from test days."""

    method: Literal["none", "platt", "isotonic"] = "none"
    """platt: a line through the logits, two numbers a task; isotonic: any monotone map, which needs
    some thousand positives."""
    days: DayRange | None = None
    """Test days that teach the maps; the later ones judge them."""

    @model_validator(mode="after")
    def _has_days(self) -> "Calibrate":
        if self.method != "none" and self.days is None:
            raise ValueError(f"method {self.method} needs days: the first of evaluate.days")
        return self


class Publish(Section):
    """Where bundles lie, and what of a run they hold."""

    path: str | None = None
    """The folder of the bundles and their aliases; none: bundles/<name>. Runs of several names that
    follow one another need one folder."""
    optimizer_state: bool = True
    """Whether a bundle holds what the optimizers remember, from which a later training may go on
    (train.warm_start). Without it a bundle of tables by Adam takes a third."""
    num_sample_rows: Annotated[int, Field(ge=1, le=10_000)] = 64
    """Rows kept with the trainer's own scores, for whoever loads the model elsewhere."""
