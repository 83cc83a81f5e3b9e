"""Left-out un-clicked samples and how a model makes up for them: by their weights, or afterwards.

Of the un-clicked samples a share r is kept. Trained without weights a model finds p' instead of
p_ctr: the odds of a click are 1 / r times too high, hence

    logit p_ctr = logit p' + log r,   p_ctr = p' / (p' + (1 - p') / r).

p_cvr is a rate among clicks, which are all kept, and stays; p_ctcvr is their product. Doing both,
or correcting p_ctcvr by the formula, is wrong.
"""

from esmm_dist.contract.days import DayRange
from esmm_dist.contract.method_options import MethodName

# Of these p_cvr is learned from clicked rows, or as the factor of p_ctcvr beside p_ctr. Others let
# un-clicked rows teach p_cvr, weigh by a p_ctr that is not yet corrected, or predict p_ctcvr alone.
CORRECTABLE: tuple[MethodName, ...] = (
    "esmm", "esmm_ns", "base", "independent", "shared_bottom", "mmoe", "ple",
)


def check_correction(
    method: MethodName, rate: float, thinned: DayRange | None, learned: DayRange
) -> None:
    """Refuses a correction that would not be exact.

    Args:
        rate: samples.unclicked_rate.
        thinned: samples.unclicked_days; none: every day.
        learned: the days that some model of the run learns from.

    Raises:
        ValueError: nothing is left out, the method does not allow it, or not all days are thinned.
    """
    if rate == 1:
        raise ValueError("train.unclicked = corrected: but samples.unclicked_rate is 1")
    if method not in CORRECTABLE:
        raise ValueError(
            f"train.unclicked = corrected: what {method} predicts depends on the rate beyond its "
            f"CTR: take weighted, or one of {', '.join(CORRECTABLE)}"
        )
    if thinned is not None and not thinned.first <= learned.first <= learned.last <= thinned.last:
        raise ValueError(
            f"train.unclicked = corrected: samples.unclicked_days are {thinned.first} to "
            f"{thinned.last}, models learn from {learned.first} to {learned.last}: one shift "
            "cannot undo both kinds of days: take weighted"
        )
