"""Values of fields: informative, noisy, in no order."""

from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from esmm_dist.simulation.factors import Members, draw_members
from esmm_dist.simulation.fields import Column, context_field, cross_field, cuts_of, member_column
from esmm_dist.simulation.histories import lists_of_members
from esmm_dist.simulation.streams import Purpose, stream
from tests.factories.simulated_logs import declared, simulation_config

USERS = {"count": 20_000, "zipf_exponent": 0.0}


def explained(value_M: NDArray[Any], factor_MD: NDArray[Any]) -> float:
    """Share of all factors' variance that lies between the values of a field."""
    place_M = np.unique(value_M, return_inverse=True)[1]
    count_C = np.bincount(place_M)
    between = sum(
        (np.bincount(place_M, factor_MD[:, d]) ** 2 / count_C).sum()
        for d in range(factor_MD.shape[1])
    )
    return float(between / (factor_MD**2).sum())


def user_field(folder: Path, **field: object) -> tuple[Column, Members]:
    fields = [{"name": "f", "group": "user", "cardinality": 100} | field]
    simulation = declared(simulation_config(
        folder, users=USERS, fields=fields, delays={},
        signal={"user": 0.4, "item": 0.3, "interaction": 0.3, "context": 0.0},
    ))
    users = draw_members(simulation, Purpose.USER_FACTORS)
    return member_column(simulation, simulation.fields[0], users)[0], users


def test_a_field_tells_of_one_direction_as_much_as_declared(tmp_path: Path) -> None:
    for informativeness in (0.0, 0.5, 0.9):
        column, users = user_field(tmp_path, informativeness=informativeness)
        num_factors = users.factor_MD.shape[1]
        # Cuts lose a little; 100 values of 20,000 users find .005 by chance.
        most = informativeness**2 / num_factors + 0.006
        assert 0.8 * informativeness**2 / num_factors < explained(
            column.value_M, users.factor_MD) < most


def test_values_have_the_declared_number_and_fall_as_declared(tmp_path: Path) -> None:
    column, _ = user_field(tmp_path, zipf_exponent=1.0)
    counts = np.sort(np.bincount(np.unique(column.value_M, return_inverse=True)[1]))[::-1]
    assert len(counts) == 100
    assert counts[0] / len(column.value_M) == pytest.approx(np.log(2) / np.log(101), rel=0.1)


def test_numbers_of_values_tell_no_order(tmp_path: Path) -> None:
    column, users = user_field(tmp_path, informativeness=0.95)
    for d in range(users.factor_MD.shape[1]):
        correlation = np.corrcoef(column.value_M, users.factor_MD[:, d])[0, 1]
        assert abs(correlation) < 0.35, d


def test_frequent_values_lie_anywhere_on_the_direction(tmp_path: Path) -> None:
    """Not at its end, or how frequent a value is would tell what it means."""
    simulation = declared(simulation_config(tmp_path, fields=[
        {"name": "f", "group": "user", "cardinality": 100},
        {"name": "c", "group": "context", "cardinality": 3}], delays={}))
    cuts = cuts_of(simulation, simulation.fields[0], stream(1, Purpose.USER_FIELDS))
    reached_C = np.array([0.0, *map(NormalDist().cdf, cuts.edge_C), 1.0])
    share_C = np.diff(reached_C)
    assert abs(np.corrcoef(np.argsort(np.argsort(share_C)), np.arange(100))[0, 1]) < 0.4


def test_nulls_have_their_share(tmp_path: Path) -> None:
    column, _ = user_field(tmp_path, null_share=0.3)
    assert column.is_null_M is not None
    assert column.is_null_M.mean() == pytest.approx(0.3, abs=0.015)
    assert user_field(tmp_path)[0].is_null_M is None


def test_a_context_field_moves_both_logits_with_their_correlation(tmp_path: Path) -> None:
    for selection in (-0.5, 0.0, 0.5):
        config = simulation_config(tmp_path, selection=selection)
        simulation = declared(config)
        for field in simulation.of_group("context"):
            context = context_field(simulation, field)
            share, click = context.popularity.shares(), context.click_effect_C
            conversion = context.conversion_effect_C
            for effect in (click, conversion):
                assert (share * effect).sum() == pytest.approx(0, abs=1e-6)
                assert (share * effect**2).sum() == pytest.approx(1, abs=1e-5)
            assert (share * click * conversion).sum() == pytest.approx(selection, abs=1e-5)


def test_a_cross_field_tells_of_the_products(tmp_path: Path) -> None:
    simulation = declared(simulation_config(tmp_path))
    field = cross_field(simulation, simulation.of_group("cross")[0])
    rng = np.random.default_rng(1)
    products = rng.standard_normal((2, 30_000)).astype("f4")
    column = field.column(products[0], products[1], stream(1, Purpose.CROSS_FIELDS))
    assert explained(column.value_M, products.T) > 0.15


def test_lists_have_the_declared_mean_length_and_tell_of_their_member(tmp_path: Path) -> None:
    fields = [{"name": "h", "group": "user", "kind": "multi_valued", "cardinality": 50,
               "mean_length": 6, "null_share": 0.1},
              {"name": "c", "group": "context", "cardinality": 3}]
    simulation = declared(simulation_config(tmp_path, users=USERS, fields=fields, delays={}))
    users = draw_members(simulation, Purpose.USER_FACTORS)
    (lists,) = lists_of_members(simulation, simulation.fields[0], users)
    assert len(lists) == 20_000
    assert lists.null_count / len(lists) == pytest.approx(0.1, abs=0.01)
    lengths = lists.drop_null().value_lengths().to_numpy()
    assert lengths.mean() == pytest.approx(6, abs=0.2) and lengths.min() == 1
    # Entries of one list are alike, because they tell of one user.
    pairs = [values[:2] for values in lists.drop_null().to_pylist() if len(values) > 1]
    same = np.mean([first == second for first, second in pairs])
    shuffled = np.mean([first == second for (first, _), (_, second) in zip(pairs, pairs[1:])])
    assert same > 1.3 * shuffled
