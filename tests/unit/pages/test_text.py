"""Figures as people read them."""

from datetime import date

import pytest

from esmm_dist.contract.days import DayRange
from esmm_dist.pages.text import count, percent, span


def test_small_shares_have_more_decimals() -> None:
    assert [percent(s) for s in (0.4567, 0.0123, 0.00012)] == ["45.7 %", "1.23 %", "0.0120 %"]
    assert percent(None) == "–" and percent(0.0) == "0 %" and count(1234567) == "1,234,567"


@pytest.mark.parametrize(("first", "last", "expected"), [
    (date(2022, 5, 1), date(2022, 5, 1), "1 May 2022"),
    (date(2022, 5, 1), date(2022, 5, 5), "1 to 5 May 2022"),
    (date(2022, 4, 24), date(2022, 5, 3), "24 April to 3 May 2022"),
    (date(2021, 12, 31), date(2022, 1, 2), "31 December 2021 to 2 January 2022"),
])
def test_a_span_of_days_repeats_nothing(first: date, last: date, expected: str) -> None:
    assert span(DayRange(first=first, last=last)) == expected
