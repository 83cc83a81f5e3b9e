"""Boosted trees on small samples: what they see of a row, what they learn, and that they repeat."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from esmm_dist.contract.batch import Bag, Batch
from esmm_dist.contract.features import (
    BucketEncoding,
    CategoricalFeature,
    Feature,
    Group,
    HashEncoding,
    Kind,
    MultiValuedFeature,
    NumericFeature,
)
from esmm_dist.contract.sections import Trees
from esmm_dist.evaluation import tree_columns
from esmm_dist.evaluation.tree_columns import TreeColumns
from esmm_dist.evaluation.trees import JointTrees, TreesApart
from tests.factories.predictions import known

FEATURES: tuple[Feature, ...] = (
    CategoricalFeature(name="user", group=Group.USER, encode=HashEncoding(hash_size=50)),
    NumericFeature(name="age", kind=Kind.NUMERIC, group=Group.USER,
                   encode=BucketEncoding(boundaries=(1.0, 2.0, 3.0))),
    MultiValuedFeature(name="tags", kind=Kind.MULTI_VALUED, group=Group.ITEM,
                       encode=HashEncoding(hash_size=20)),
)
SECTION = Trees(num_rounds=30, learning_rate=0.12, num_leaves=15, min_rows_of_leaf=20)
KINDS = pytest.mark.parametrize("trees", [TreesApart, JointTrees])


def make_batch(num_rows: int, seed: int, num_padded: int = 0) -> Batch:
    """Clicks follow the user and the age, conversions the age and the tags."""
    rng = np.random.default_rng(seed)
    user, age = rng.integers(1, 12, num_rows), rng.integers(1, 5, num_rows)
    lengths = rng.integers(0, 3, num_rows)
    tags = rng.integers(1, 5, lengths.sum())
    has_one = np.bincount(np.repeat(np.arange(num_rows), lengths), tags == 1, num_rows)
    ctr = np.sin(user) + 0.4 * age - 1.5
    cvr = 1.5 * has_one - 0.5 * age + 0.3
    click = rng.random(num_rows) < 1 / (1 + np.exp(-ctr))
    conversion = click & (rng.random(num_rows) < 1 / (1 + np.exp(-cvr)))
    weight = np.ones(num_rows)
    weight[num_rows - num_padded:] = 0
    offsets = torch.from_numpy(np.r_[0, lengths.cumsum()])
    return Batch(
        ids_BF=torch.from_numpy(np.stack([user, age], 1)).int(),
        bags=(Bag(torch.from_numpy(tags).int(), offsets),),
        click_B=torch.from_numpy(click).float(), conversion_B=torch.from_numpy(conversion).float(),
        weight_B=torch.from_numpy(weight).float(), sample_id_B=torch.arange(num_rows),
        group_id_B=torch.zeros(num_rows, dtype=torch.int64), num_padded=num_padded,
    )


def batches() -> list[Batch]:
    return [make_batch(2000, seed) for seed in range(4)]


@KINDS
def test_trees_learn_both_tasks_and_are_calibrated_where_they_learned(trees: Any) -> None:
    fitted = trees.fit(batches(), FEATURES, SECTION)
    test = make_batch(8000, seed=99)
    logits = fitted.predict(test)
    click, conversion = test.click_B.numpy(), test.conversion_B.numpy()
    p_ctr, p_cvr = (1 / (1 + np.exp(-known(x)))
                    for x in (logits.ctr_logit_N, logits.cvr_logit_N))
    clicked = click == 1
    assert roc_auc_score(click, p_ctr) > 0.7
    assert roc_auc_score(conversion[clicked], p_cvr[clicked]) > 0.7
    assert p_ctr.mean() == pytest.approx(click.mean(), rel=0.05)
    assert (p_ctr * p_cvr).mean() == pytest.approx(conversion.mean(), rel=0.1)


@KINDS
def test_a_fit_repeats_to_the_last_bit(trees: Any) -> None:
    test = make_batch(100, seed=5)
    first, again = (trees.fit(batches(), FEATURES, SECTION).predict(test) for _ in range(2))
    np.testing.assert_array_equal(first.ctr_logit_N, again.ctr_logit_N)
    np.testing.assert_array_equal(first.cvr_logit_N, again.cvr_logit_N)


@KINDS
def test_rows_of_weight_zero_teach_nothing(trees: Any) -> None:
    rows = make_batch(2000, seed=1)
    muted = dataclasses.replace(
        rows, weight_B=torch.cat([rows.weight_B[:1500], torch.zeros(500)]),
        click_B=torch.cat([rows.click_B[:1500], torch.ones(500)]),
    )
    first = trees.fit([rows, muted], FEATURES, SECTION)
    spoilt = dataclasses.replace(
        muted, conversion_B=torch.cat([muted.conversion_B[:1500], torch.ones(500)])
    )
    other = trees.fit([rows, spoilt], FEATURES, SECTION)
    test = make_batch(50, seed=5)
    for name in ("ctr_logit_N", "cvr_logit_N"):
        np.testing.assert_array_equal(getattr(first.predict(test), name),
                                      getattr(other.predict(test), name))


def test_each_round_of_the_pair_lowers_the_loss_over_all_impressions() -> None:
    losses = []
    for num_rounds in (1, 5, 20):
        section = SECTION.model_copy(update={"num_rounds": num_rounds})
        fitted = JointTrees.fit(batches(), FEATURES, section)
        losses.append(sum(esmm_loss(fitted, batch) for batch in batches()))
    assert losses == sorted(losses, reverse=True) and losses[-1] < 0.95 * losses[0]


def esmm_loss(fitted: JointTrees, batch: Batch) -> float:
    logits = fitted.predict(batch)
    p, q = (1 / (1 + np.exp(-known(x))) for x in (logits.ctr_logit_N, logits.cvr_logit_N))
    y, t = batch.click_B.numpy() == 1, batch.conversion_B.numpy() == 1
    return float(-np.log(np.where(y, p, 1 - p)).sum() - np.log(np.where(t, p * q, 1 - p * q)).sum())


def test_an_unclicked_row_teaches_the_pair_what_trees_apart_never_see() -> None:
    """Where nobody clicks, the joint CVR ensemble still has a gradient, though a weak one."""
    joint, apart = (trees.fit(batches(), FEATURES, SECTION) for trees in (JointTrees, TreesApart))
    more = make_batch(4000, seed=3)
    unclicked = dataclasses.replace(more, click_B=torch.zeros(4000), conversion_B=torch.zeros(4000))
    taught, untaught = (trees.fit([*batches(), unclicked], FEATURES, SECTION)
                        for trees in (JointTrees, TreesApart))
    test = make_batch(200, seed=9)
    assert known(taught.predict(test).cvr_logit_N).mean() < known(
        joint.predict(test).cvr_logit_N).mean()
    np.testing.assert_allclose(known(untaught.predict(test).cvr_logit_N),
                               known(apart.predict(test).cvr_logit_N), atol=0.2)


@KINDS
def test_labels_of_one_class_give_their_rate_and_no_error(trees: Any) -> None:
    rows = make_batch(500, seed=0)
    none = dataclasses.replace(rows, conversion_B=torch.zeros(500))
    logits = trees.fit([none], FEATURES, SECTION).predict(none)
    p_cvr = 1 / (1 + np.exp(-known(logits.cvr_logit_N)))
    assert np.isfinite(known(logits.cvr_logit_N)).all() and p_cvr.max() < 0.02


def test_columns_keep_every_value_of_a_bag_and_its_weights() -> None:
    rows = make_batch(3, seed=0)
    bag = Bag(torch.tensor([2, 2, 3, 1]).int(), torch.tensor([0, 3, 3, 4]),
              torch.tensor([1.0, 0.5, 2.0, 4.0]))
    batch = dataclasses.replace(rows, bags=(bag,))
    columns_BC = TreeColumns.fit(FEATURES, [batch]).of(batch)
    # of 2 (the most frequent), of 1, of 3, and of all
    assert columns_BC[:, 2:].tolist() == [[1.5, 0, 2, 3.5], [0, 0, 0, 0], [0, 4, 0, 4]]


def test_frequent_ids_are_categories_and_rare_ones_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tree_columns, "MAX_CATEGORIES", 2)
    rows = make_batch(8, seed=0)
    ids = torch.tensor([[7, 1], [7, 2], [7, 0], [4, 3], [4, 4], [9, 1], [5, 1], [0, 0]]).int()
    empty = Bag(torch.zeros(0).int(), torch.zeros(9).long())
    batch = dataclasses.replace(rows, ids_BF=ids, bags=(empty,), num_padded=1)
    columns = TreeColumns.fit(FEATURES, [batch])
    found_BC = columns.of(batch)
    assert columns.categorical == [0]
    assert found_BC[:, 0].tolist() == [0, 0, 0, 1, 1, 2, 2, 2]
    np.testing.assert_array_equal(found_BC[:, 1], [1, 2, np.nan, 3, 4, 1, 1, np.nan])
    np.testing.assert_allclose(found_BC[:, 2], np.log1p([3, 3, 3, 2, 2, 1, 1, 0]))
