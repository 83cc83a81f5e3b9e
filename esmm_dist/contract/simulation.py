"""The `simulate` section of the config: the world that logs with known truth are drawn from.

Values only; docs/simulation.md has the model and its formulas.
"""

from math import ceil, isclose
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from esmm_dist.contract.features import Section

Share = Annotated[float, Field(ge=0, le=1)]
DirtShare = Annotated[float, Field(ge=0, le=0.5)]
Rate = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=100, le=10**9)]
Spread = Annotated[float, Field(ge=0, le=4)]

# Below this a number of values says what a field is (gender, position): it is not scaled.
MIN_SCALED = 100
# Keys that the simulator itself gives the logs.
LOG_COLUMNS = ("impression_id", "event_time", "ingest_time", "user_id", "item_id")


class Population(Section):
    """Users or items, and how unevenly they appear."""

    count: Count
    zipf_exponent: Annotated[float, Field(ge=0, le=3)] = 1.0
    """Share of the k-th most frequent: about k to the minus this; 0: all alike."""


class SimulatedField(Section):
    """A column of the impressions beside user_id and item_id."""

    name: str
    group: Literal["user", "item", "context", "cross"]
    """Whose property it is; `cross`: of the pair of user and item."""
    kind: Literal["categorical", "multi_valued"] = "categorical"
    """multi_valued, of items: a list in every row; of users: a history in the users' table."""
    cardinality: Annotated[int, Field(ge=2, le=10**8)]
    """Different values; scaled where above 100."""
    zipf_exponent: Annotated[float, Field(ge=0, le=3)] = 1.0
    """How unevenly values appear."""
    informativeness: Annotated[float, Field(ge=0, lt=1)] = 0.7
    """Correlation of the field's hidden score with a direction of the latent factors."""
    null_share: Share = 0.0
    """Users, items or rows of which the field is unknown."""
    mean_length: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Of a multi-valued field: values a list on average."""

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "SimulatedField":
        if (self.kind == "multi_valued") != (self.mean_length is not None):
            raise ValueError("mean_length belongs to multi_valued fields, and each needs it")
        if self.kind == "multi_valued" and self.group not in ("user", "item"):
            raise ValueError("a multi_valued field is of users or of items")
        if self.group == "context" and self.cardinality < 3:
            raise ValueError("a context field needs 3 values: its effect on clicks and its effect "
                             "on conversions cannot be set apart on fewer")
        return self


class Rates(Section):
    """What the intercepts are solved for, on average over all days."""

    ctr: Rate
    """Clicks an impression."""
    cvr: Rate
    """Conversions inside samples.conversion_window_hours a clicked impression."""


class Signal(Section):
    """Shares of a logit's variance, the same for clicks and conversions; they add up to 1."""

    user: Share = 0.25
    item: Share = 0.35
    interaction: Share = 0.3
    """Of a user's and an item's factors, as an inner product."""
    context: Share = 0.1

    @model_validator(mode="after")
    def _adds_up(self) -> "Signal":
        total = self.user + self.item + self.interaction + self.context
        if not isclose(total, 1, abs_tol=1e-9):
            raise ValueError(f"the shares add up to {total:g}, not to 1")
        return self


class Exposure(Section):
    """The policy that picks what is shown: it favours what it thinks will be clicked."""

    num_candidates: Annotated[int, Field(ge=1, le=64)] = 4
    """Items drawn by popularity, of which one is shown."""
    strength: Annotated[float, Field(ge=0, le=20)] = 1.0
    """A candidate is shown with odds exp(strength * its click score); 0: by popularity alone."""


class Delays(Section):
    """How long clicks and conversions let wait."""

    mean_click_seconds: Annotated[float, Field(gt=0, le=1e6)] = 20.0
    """From the impression; all clicks fall into the click window."""
    mean_conversion_hours: Annotated[float, Field(gt=0, le=1e4)] = 6.0
    """From the click: exponential; the geometric mean over the values of `field`."""
    spread: Spread = 1.0
    """Standard deviation of the log mean over the values of `field`."""
    field: str | None = None
    """A categorical item or context field; each of its values has a mean delay of its own."""


class Drift(Section):
    """What changes from day to day."""

    ctr_logit_per_day: Annotated[float, Field(ge=-1, le=1)] = 0.0
    cvr_logit_per_day: Annotated[float, Field(ge=-1, le=1)] = 0.0
    taste_degrees_per_day: Annotated[float, Field(ge=-90, le=90)] = 0.0
    """Rotation of users' factors against items': who likes what."""
    items_replaced_per_day: Share = 0.0
    """Share of the ranks of popularity that pass to another item."""


class Dirt(Section):
    """What goes wrong in logs, as shares of clean rows; rows are added, none is taken away."""

    duplicates: DirtShare = 0.0
    """Of each log's rows: written twice, alike."""
    conflicts: DirtShare = 0.0
    """Of impressions: the same id again, later, with another item."""
    orphans: DirtShare = 0.0
    """Of clicks and conversions: as many of unknown impressions, and as many conversions of
    impressions without a click."""
    late: DirtShare = 0.0
    """Of clicks and conversions: arrive and are filed a day late. Of impressions: come a second
    time, filed a day late."""
    skewed: DirtShare = 0.0
    """Of clicks and conversions: reported a second time by a clock that lies before the cause."""
    max_skew_seconds: Annotated[float, Field(gt=0, le=3600)] = 300.0
    bots: DirtShare = 0.0
    """Of impressions: as many more of machines, clicked within a second, never converting."""
    impressions_per_bot: Annotated[int, Field(gt=0, le=65_536)] = 200
    nulls: DirtShare = 0.0
    """Of each log's rows: a copy without id and a copy without time."""


class Simulation(Section):
    """Logs drawn from a known model, and the truth beside them; see docs/simulation.md.

    The logs go to the paths, partitions and columns that `logs` declares, for samples.days.
    """

    path: str
    """Where the truth, the users' table and the record of the simulation go."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    scale: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Multiplies impressions_per_day, users, items and every cardinality above 100."""
    impressions_per_day: Annotated[int, Field(gt=0, le=2**36)]
    users: Population
    items: Population
    fields: tuple[SimulatedField, ...] = ()
    rates: Rates
    click_logit_std: Spread = 1.0
    """Standard deviation of the click logit over candidates."""
    conversion_logit_std: Spread = 1.0
    signal: Signal = Signal()
    num_factors: Annotated[int, Field(ge=2, le=64, multiple_of=2)] = 8
    """Latent factors of each kind: shared, of clicks alone, of conversions alone."""
    sharing: Share = 0.5
    """Share of each logit's user and item variance that comes from the shared factors."""
    selection: Annotated[float, Field(ge=-1, le=1)] = 0.3
    """Correlation of the two logits over candidates, through x; at most `sharing` in size."""
    confounding: Annotated[float, Field(ge=-4, le=4)] = 0.0
    """Weight of a standard normal u outside x in the conversion logit, and its size in the click
    logit; below 0 it moves the two in opposite directions."""
    exposure: Exposure = Exposure()
    delays: Delays = Delays()
    drift: Drift = Drift()
    dirt: Dirt = Dirt()

    @field_validator("fields")
    @classmethod
    def _names_apart(cls, fields: tuple[SimulatedField, ...]) -> tuple[SimulatedField, ...]:
        seen: set[str] = set(LOG_COLUMNS)
        for field in fields:
            if field.name in seen:
                raise ValueError(f"the field {field.name!r} is there already")
            seen.add(field.name)
        return fields

    @model_validator(mode="after")
    def _consistent(self) -> "Simulation":
        if abs(self.selection) > self.sharing:
            raise ValueError(
                f"selection = {self.selection:g} is more than sharing = {self.sharing:g} allows: "
                "logits are correlated through the factors they share"
            )
        if self.signal.context and not self.of_group("context"):
            raise ValueError("signal.context is above 0, and no field is of the context: declare "
                             "one, or give its share to another")
        known = [f.name for f in (*self.of_group("item"), *self.of_group("context"))]
        if self.delays.field is not None and self.delays.field not in known:
            raise ValueError(f"delays.field = {self.delays.field!r}: known are {', '.join(known)}")
        return self

    def of_group(self, group: str) -> tuple[SimulatedField, ...]:
        """The categorical fields of one group."""
        return tuple(f for f in self.fields if f.group == group and f.kind == "categorical")

    def lists_of(self, group: str) -> tuple[SimulatedField, ...]:
        """The multi-valued fields of one group."""
        return tuple(f for f in self.fields if f.group == group and f.kind == "multi_valued")

    def scaled(self, number: int) -> int:
        """A size after scaling; those that say what a field is stay."""
        return number if number <= MIN_SCALED else max(MIN_SCALED, ceil(number * self.scale))
