"""How often each row takes part in an epoch: what a method declares of the rows that it trains on.

A count depends on the row's own columns and on the seed and epoch, so that it is known before the
first step, and all ranks take the same number of steps. It counts nothing: the reader does.
"""

from dataclasses import dataclass, replace

from esmm_dist.contract.schema import CLICK, CONVERSION, SAMPLE_ID


@dataclass(frozen=True)
class Multiplicity:
    """Counts by label: un-clicked, clicked and not converted, converted."""

    share_of_unclicked: float = 1.0
    """The share of un-clicked rows that take part, once, drawn anew in every epoch."""
    times_clicked: int = 1
    """How often a clicked row that did not convert takes part."""
    times_converted: int = 1
    """How often a converted row takes part."""
    required: tuple[str, ...] = ()
    """Columns of 0 and 1; a row in which one of them is 0 takes no part."""

    fake_negatives: bool = False
    """Whether the fake negatives of a label stream take part too, where labels and columns let
    them: a clicked row that did not convert."""

    def __post_init__(self) -> None:
        assert 0 <= self.share_of_unclicked <= 1
        assert self.times_clicked >= 0 and self.times_converted >= 0

    @property
    def is_trivial(self) -> bool:
        """Whether every row takes part once, so that nothing need be counted."""
        return replace(self, fake_negatives=False) == EVERY_ROW

    @property
    def draws(self) -> bool:
        """Whether chance has a say, so that every epoch has counts of its own."""
        return 0 < self.share_of_unclicked < 1

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the samples that decide a count."""
        by_label = (self.share_of_unclicked, self.times_clicked, self.times_converted)
        names = [CLICK, CONVERSION] if set(by_label) != {1} else []
        return (*names, *([SAMPLE_ID] if self.draws else []), *self.required)


EVERY_ROW = Multiplicity()
CLICKED_ROWS = Multiplicity(share_of_unclicked=0.0)
