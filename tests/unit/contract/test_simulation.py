"""The section `simulate`: what is refused, and what scaling does."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from esmm_dist.contract.config import load_config
from tests.factories.simulated_logs import FIELDS, declared, simulation_config

CONF = Path(__file__).parents[3] / "conf"


@pytest.mark.parametrize("simulate, message", [
    ({"sharing": 0.2, "selection": -0.3}, "selection = -0.3 is more than sharing = 0.2 allows"),
    ({"signal": {"user": 0.5}}, "the shares add up to 1.25, not to 1"),
    ({"fields": FIELDS[:3], "delays": {}}, "signal.context is above 0, and no field is of"),
    ({"delays": {"field": "city"}}, "delays.field = 'city': known are shop, brand, position"),
    ({"fields": [*FIELDS, FIELDS[0]]}, "the field 'city' is there already"),
    ({"fields": [{"name": "user_id", "group": "user", "cardinality": 9}]}, "is there already"),
    ({"fields": [{"name": "x", "group": "context", "cardinality": 2}]}, "needs 3 values"),
    ({"fields": [{"name": "x", "group": "item", "cardinality": 9, "mean_length": 2}]},
     "mean_length belongs to multi_valued fields"),
    ({"fields": [{"name": "x", "group": "item", "cardinality": 9, "kind": "multi_valued"}]},
     "mean_length belongs to multi_valued fields"),
    ({"fields": [{"name": "x", "group": "cross", "cardinality": 9, "kind": "multi_valued",
                  "mean_length": 3}]}, "a multi_valued field is of users or of items"),
    ({"dirt": {"late": 0.6}}, "less than or equal to 0.5"),
    ({"confounding": 5}, "less than or equal to 4"),
    ({"num_factors": 7}, "multiple of 2"),
    ({"rates": {"ctr": 0.0, "cvr": 0.1}}, "greater than 0"),
])
def test_what_cannot_be_is_refused_by_name(
    tmp_path: Path, simulate: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        simulation_config(tmp_path, **simulate)


def test_scaling_leaves_small_numbers_alone(tmp_path: Path) -> None:
    simulation = declared(simulation_config(tmp_path, scale=0.01))
    assert [simulation.scaled(n) for n in (2, 100, 101, 10_001, 1_000_000)] == [
        2, 100, 100, 101, 10_000]


def test_the_preset_has_the_rates_and_cardinalities_of_ali_ccp() -> None:
    simulation = declared(load_config(CONF / "ali_ccp_like.yaml"))
    assert simulation.rates.ctr == 0.0389 and simulation.rates.cvr == 0.00535
    assert simulation.users.count == 238_635 and simulation.items.count == 467_298
    cardinalities = {field.name: field.cardinality for field in simulation.fields}
    assert sorted(cardinalities.values()) == sorted([
        98, 14, 3, 8, 4, 4, 3, 5, 5_853, 105_622, 53_843, 31_858, 6_929, 263_942, 106_399, 80_232,
        5_888, 104_830, 51_878, 3,
    ])
