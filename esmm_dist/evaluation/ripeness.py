"""What a reader of figures must know of labels that were not final when they were built.

It says; it leaves no row out and changes no figure.
"""

from collections.abc import Sequence

from esmm_dist.contract.manifest import Day


def warnings_of(test_days: Sequence[Day]) -> tuple[str, ...]:
    """A sentence a test day that holds immature samples."""
    return tuple(
        f"The test day {day.day} is immature: {day.num_immature:,} of its {day.num_rows:,} "
        f"impressions were built before their labels were final ({horizon(day)}); clicks and "
        "conversions still to come count as none."
        for day in test_days if day.num_immature
    )


def horizon(day: Day) -> str:
    """As of when a day was built, and what told when rows became known."""
    if day.as_of is None:
        return "complete logs"
    columns = {column: [log for log, name in day.known_by.items() if name == column]
               for column in day.known_by.values()}
    by = "; ".join(f"{', '.join(logs)} by {column}" for column, logs in columns.items())
    return f"as of {day.as_of.isoformat()}, {by}" if by else f"as of {day.as_of.isoformat()}"
