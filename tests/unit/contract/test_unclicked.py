"""Samples that were left out are made up for by a shift only where that is exact."""

from datetime import date
from typing import Any

import pytest

from esmm_dist.contract.config import parse_config
from esmm_dist.contract.days import DayRange
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.unclicked import check_correction
from tests.factories.written_samples import small_document

LEARNED = DayRange(first=date(2024, 1, 1), last=date(2024, 1, 2))


@pytest.mark.parametrize("thinned", [None, LEARNED])
def test_what_is_thinned_alike_can_be_corrected(thinned: DayRange | None) -> None:
    check_correction("esmm", 0.1, thinned, LEARNED)


@pytest.mark.parametrize(("method", "rate", "thinned", "reason"), [
    ("esmm", 1.0, None, "samples.unclicked_rate is 1"),
    ("ctcvr_direct", 0.1, None, "what ctcvr_direct predicts depends on the rate"),
    ("aman", 0.1, None, "what aman predicts depends on the rate"),
    ("esmm", 0.1, DayRange(first=LEARNED.first, last=LEARNED.first), "one shift cannot undo both"),
])
def test_what_a_shift_cannot_undo_is_refused(
    method: Any, rate: float, thinned: DayRange | None, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        check_correction(method, rate, thinned, LEARNED)


def test_a_config_that_retrains_daily_learns_from_test_days_too(tmp_path: Any) -> None:
    document = small_document(tmp_path, num_test_days=2)
    document["samples"] |= {"unclicked_rate": 0.5, "unclicked_days": document["train"]["days"]}
    document["train"]["unclicked"] = "corrected"
    parse_config(document, "small")
    document["evaluate"]["retrain"] = "daily"
    with pytest.raises(InputError, match="models learn from 2024-01-01 to 2024-01-03"):
        parse_config(document, "small")


@pytest.mark.parametrize(("calibrate", "reason"), [
    ({"method": "platt"}, "method platt needs days"),
    ({"method": "platt", "days": {"first": "2024-01-02", "last": "2024-01-03"}},
     "they must be evaluate.days"),
    ({"method": "platt", "days": {"first": "2024-01-03", "last": "2024-01-04"}},
     "the last of these must come after them"),
])
def test_maps_need_test_days_before_the_last(
    tmp_path: Any, calibrate: dict[str, Any], reason: str
) -> None:
    document = small_document(tmp_path, num_test_days=2) | {"calibrate": calibrate}
    with pytest.raises(InputError, match=reason):
        parse_config(document, "small")
