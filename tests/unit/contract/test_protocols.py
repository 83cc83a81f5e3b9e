"""What `tune` and `audit` ask for, and what is refused in one line."""

import re

import pytest
from pydantic import ValidationError

from esmm_dist.contract.method_options import MethodOptions
from esmm_dist.contract.protocols import Audit, Tune, Vary

PAIRS = tuple({"towers": rate, "tables": 0.05} for rate in (1e-4, 1e-3, 1e-2, 3e-2, 1e-1))


def test_levels_come_key_by_key() -> None:
    vary = Vary(ctr=(0.1, 0.2), confounding=(1.0,))
    assert list(vary.levels()) == [("ctr", 0.1), ("ctr", 0.2), ("confounding", 1.0)]


@pytest.mark.parametrize(("section", "values", "message"), [
    (Audit, {"methods": ("esmm", "ctcvr_direct")}, "ctcvr_direct predicts no CVR: leave it out"),
    (Audit, {"methods_where_varied": ("ctcvr_direct",)}, "methods_where_varied: ctcvr_direct"),
    (Audit, {"methods": ("ezmm",)}, "Input should be"),
    (Vary, {"selection": (1.5,)}, "less than or equal to 1"),
    (Tune, {"learning_rates": ({"towers": 0.1, "tables": 0.1},)}, "at least 2 items"),
    (Tune, {"learning_rates": PAIRS, "options": {"cvr_wait": (0.1, 1.0)}}, "cvr_wait"),
    (Tune, {"learning_rates": PAIRS, "options": {"cvr_weight": (1.0, -1.0)}}, "greater than"),
    (MethodOptions, {"delay_slot_hours": (1.0, 6.0, 6.0)}, "let each end after the one before"),
    (MethodOptions, {"delay_slot_hours": (24.0,)}, "at least 2 items"),
])
def test_what_cannot_be_meant_is_refused(
    section: type[Audit], values: dict[str, object], message: str
) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        section.model_validate(values)


def test_each_value_of_an_option_has_its_turn_before_any_has_a_second() -> None:
    tune = Tune.model_validate({"learning_rates": PAIRS, "options": {
        "cvr_weight": (0.1, 0.3, 1.0), "times_converted": (2, 5)}})
    weights = [tune.options_of_trial(("cvr_weight",), trial)["cvr_weight"] for trial in range(5)]
    assert sorted(weights[:3]) == [0.1, 0.3, 1.0] and len(set(weights[3:])) == 2
    both = [tune.options_of_trial(("times_converted", "cvr_weight"), n) for n in range(5)]
    assert [dealt["cvr_weight"] for dealt in both] == weights, "whatever else a method uses"
    assert {type(dealt["times_converted"]) for dealt in both} == {int}
    assert tune.options_of_trial((), 3) == {}
