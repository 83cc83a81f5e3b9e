"""One rank's share of a global batch, as the reader makes it and the model takes it.

Shape legend: B rows of this rank; F single-valued features in order of declaration; V ids of all
rows of one multi-valued feature.
"""

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, device


@dataclass(frozen=True)
class Bag:
    """The ids of one multi-valued feature: row b owns ids_V[offsets_B1[b] : offsets_B1[b + 1]]."""

    ids_V: "Tensor"
    """int32 or int64, local to the feature's table."""
    offsets_B1: "Tensor"
    """int64, B + 1 offsets; the last one is V."""
    weights_V: "Tensor | None" = None
    """float32: what each id counts in the row's sum; None: 1 each."""

    def to(self, place: "device") -> "Bag":
        """The same ids on a device; a tensor that lies there already is not copied."""
        weights_V = self.weights_V
        return Bag(
            self.ids_V.to(place, non_blocking=True),
            self.offsets_B1.to(place, non_blocking=True),
            None if weights_V is None else weights_V.to(place, non_blocking=True),
        )


@dataclass(frozen=True)
class Delays:
    """How long the events of each row took, and for how long they were waited for."""

    click_delay_s_B: "Tensor"
    """int32: from the impression to its click; -1 where there is none, or its time is unknown."""
    conversion_delay_s_B: "Tensor"
    """int32: from the click to its conversion; -1 likewise."""
    observed_s_B: "Tensor"
    """int32: from the impression to the instant as of which it was built, up to both windows."""
    mature_B: "Tensor"
    """float: 1 where the labels are final, else 0."""
    fake_negative_B: "Tensor"
    """float: 1 in rows that repeat a sample as it was before its conversion, else 0."""

    def to(self, place: "device") -> "Delays":
        """The same on a device."""
        names = [f.name for f in fields(self)]
        return Delays(*[getattr(self, name).to(place, non_blocking=True) for name in names])


@dataclass(frozen=True)
class Batch:
    """Tensors of one step on one rank."""

    ids_BF: "Tensor"
    """int32 or int64 ids, local to each feature's table."""
    bags: tuple[Bag, ...]
    """One a multi-valued feature, in order of declaration."""
    click_B: "Tensor"
    """float: 0 or 1."""
    conversion_B: "Tensor"
    """float: 0 or 1, at most the click."""
    weight_B: "Tensor"
    """float: what the row counts in losses and metrics; 0 for padding, and for rows whose log
    gives them no weight."""
    sample_id_B: "Tensor"
    """int64; 0 where the reader was not asked for keys."""
    group_id_B: "Tensor"
    """int64; 0 where the reader was not asked for keys."""
    delays: Delays | None = field(default=None, kw_only=True)
    """None where the reader was not asked for them; zeros in padding."""
    day_B: "Tensor | None" = field(default=None, kw_only=True)
    """int32: the sample's day as `contract.days.day_number` gives it, 0 in padding; None where the
    reader was not asked for it."""
    num_padded: int = field(default=0, kw_only=True)
    """Rows at the end that stand for none."""

    def to(self, place: "device") -> "Batch":
        """The same batch on a device; a tensor that lies there already is not copied."""
        moved = {f.name: getattr(self, f.name) for f in fields(self)}
        num_padded, delays = moved.pop("num_padded"), moved.pop("delays")
        day_B = moved.pop("day_B")
        bags = tuple(bag.to(place) for bag in moved.pop("bags"))
        return Batch(
            bags=bags, num_padded=num_padded, delays=delays and delays.to(place),
            day_B=None if day_B is None else day_B.to(place, non_blocking=True),
            **{name: t.to(place, non_blocking=True) for name, t in moved.items()},
        )

    @property
    def num_rows(self) -> int:
        """B."""
        return len(self.click_B)
