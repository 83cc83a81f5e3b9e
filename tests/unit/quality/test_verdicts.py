"""Expectations hold, fail by name with what was found, or are undefined."""

from datetime import date
from typing import Any

import pytest
from pydantic import ValidationError

from esmm_dist.contract.expectations import Expectation, Quality, check_columns
from esmm_dist.quality.figures import ColumnFigures, DayFigures
from esmm_dist.quality.verdicts import verdicts


def figures(**changed: Any) -> DayFigures:
    column = ColumnFigures(null_rate=0.1, unknown_rate=0.0, num_ids=7, top_id=3, top_share=0.5,
                           psi=None)
    values: dict[str, Any] = {
        "day": date(2026, 3, 1), "num_rows": 100, "num_clicks": 10, "num_conversions": 1,
        "ctr": 0.1, "cvr": 0.1, "dropped_rate": 0.0, "ctr_change": None, "cvr_change": -0.5,
        "num_trailing_days": 0, "columns": {"a": column, "b": column},
    }
    return DayFigures(**values | changed)


def expectation(**declared: Any) -> Expectation:
    return Expectation.model_validate({"name": "n", **declared})


@pytest.mark.parametrize(
    ("declared", "holds"),
    [
        ({"metric": "num_rows", "min": 100}, [True]),
        ({"metric": "num_rows", "min": 101}, [False]),
        ({"metric": "ctr", "min": 0.05, "max": 0.1}, [True]),
        ({"metric": "ctr", "max": 0.09}, [False]),
        ({"metric": "ctr_change", "max": 0.2}, [None]),
        ({"metric": "cvr_change", "min": -0.4}, [False]),
        ({"metric": "null_rate", "max": 0.05}, [False, False]),
        ({"metric": "null_rate", "feature": "a", "max": 0.1}, [True]),
        ({"metric": "num_ids", "feature": "b", "min": 8}, [False]),
        ({"metric": "psi", "max": 0.2}, [None, None]),
    ],
)
def test_bounds_include_their_ends(declared: dict[str, Any], holds: list[bool | None]) -> None:
    found = verdicts([expectation(**declared)], [figures()], ["a", "b"])
    assert [verdict.holds for verdict in found] == holds


def test_what_does_not_hold_names_itself_the_day_the_feature_and_the_value() -> None:
    (verdict,) = verdicts(
        [expectation(name="users are known", metric="null_rate", feature="a", max=0.05)],
        [figures()], ["a", "b"],
    )
    assert verdict.text == (
        "users are known: null_rate of a on 2026-03-01 is 0.1, expected at most 0.05"
    )


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"metric": "ctr"}, "bounds nothing"),
        ({"metric": "ctr", "min": 2, "max": 1}, "max 1.0 below 2.0"),
        ({"metric": "ctr", "feature": "a", "min": 1}, "ctr is a day's, not a feature's"),
        ({"metric": "ctrr", "min": 1}, "metric"),
    ],
)
def test_expectations_that_mean_nothing_are_refused(declared: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        expectation(**declared)


def test_a_name_stands_once_and_a_feature_has_to_be_there() -> None:
    one = {"name": "n", "metric": "psi", "feature": "prize", "max": 1}
    with pytest.raises(ValidationError, match="'n' stands there twice"):
        Quality.model_validate({"expectations": [one, one]})
    quality = Quality.model_validate({"expectations": [one]})
    with pytest.raises(ValueError, match=r"'prize', which is no feature \(there are price\)"):
        check_columns(quality, ("price",))
