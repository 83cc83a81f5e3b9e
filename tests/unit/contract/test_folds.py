"""Which days are trained on for which days of the test."""

from datetime import date, timedelta

from esmm_dist.contract.days import DayRange
from esmm_dist.contract.folds import Fold, days_of, folds_of
from tests.unit.contract.conftest import LoadText


def day(number: int) -> date:
    return date(2024, 1, number)


def test_a_range_holds_both_ends_and_crosses_months() -> None:
    leap = days_of(DayRange(first=date(2024, 2, 28), last=date(2024, 3, 1)))
    assert leap == (date(2024, 2, 28), date(2024, 2, 29), date(2024, 3, 1))
    assert days_of(DayRange(first=day(1), last=day(1))) == (day(1),)


def test_one_model_predicts_all_test_days(load_text: LoadText) -> None:
    (fold,) = folds_of(load_text({}, "evaluate.days.last=2024-01-06"))
    assert fold == Fold((day(1), day(2), day(3)), (day(4), day(5), day(6)))
    assert fold.name == "2024-01-04"


def test_daily_models_learn_from_all_days_before_theirs(load_text: LoadText) -> None:
    config = load_text({}, "evaluate.days.last=2024-01-06", "evaluate.retrain=daily")
    assert folds_of(config) == (
        Fold((day(1), day(2), day(3)), (day(4),)),
        Fold((day(1), day(2), day(3), day(4)), (day(5),)),
        Fold((day(1), day(2), day(3), day(4), day(5)), (day(6),)),
    )
    for fold in folds_of(config):
        assert max(fold.train_days) == min(fold.test_days) - timedelta(days=1)
