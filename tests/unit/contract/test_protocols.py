"""What `tune` and `audit` ask for, and what is refused in one line."""

import re

import pytest
from pydantic import ValidationError

from esmm_dist.contract.method_options import MethodOptions
from esmm_dist.contract.protocols import Audit, Tune, Vary


def test_levels_come_key_by_key() -> None:
    vary = Vary(ctr=(0.1, 0.2), confounding=(1.0,))
    assert list(vary.levels()) == [("ctr", 0.1), ("ctr", 0.2), ("confounding", 1.0)]


@pytest.mark.parametrize(("section", "values", "message"), [
    (Audit, {"methods": ("esmm", "ctcvr_direct")}, "ctcvr_direct predicts no CVR: leave it out"),
    (Audit, {"methods": ("ezmm",)}, "Input should be"),
    (Vary, {"selection": (1.5,)}, "less than or equal to 1"),
    (Tune, {"learning_rates": ({"towers": 0.1, "tables": 0.1},)}, "at least 2 items"),
    (MethodOptions, {"delay_slot_hours": (1.0, 6.0, 6.0)}, "let each end after the one before"),
    (MethodOptions, {"delay_slot_hours": (24.0,)}, "at least 2 items"),
])
def test_what_cannot_be_meant_is_refused(
    section: type[Audit], values: dict[str, object], message: str
) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        section.model_validate(values)
