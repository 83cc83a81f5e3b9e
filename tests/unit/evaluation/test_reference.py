"""The reference finds what is linear, sees bags and unknown ids, and ignores padding."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from scipy import sparse

from esmm_dist.contract.batch import Bag, Batch
from esmm_dist.contract.encodings import Encodings
from esmm_dist.contract.features import (
    CategoricalFeature,
    Feature,
    Group,
    HashEncoding,
    Kind,
    MultiValuedFeature,
)
from esmm_dist.evaluation.reference import Linear, Reference
from esmm_dist.evaluation.tasks import Task
from tests.factories.predictions import known

NUM_IDS = 12
_HASH = HashEncoding(hash_size=NUM_IDS)
FEATURES: tuple[Feature, ...] = (
    CategoricalFeature(name="user", group=Group.USER, encode=_HASH),
    MultiValuedFeature(name="tags", kind=Kind.MULTI_VALUED, group=Group.ITEM, encode=_HASH),
    CategoricalFeature(name="item", group=Group.ITEM, encode=_HASH),
)
TRUE_WEIGHTS = np.random.default_rng(7).normal(size=(3, NUM_IDS))


def make_batch(num_rows: int, rng: np.random.Generator, num_padding: int = 0) -> Batch:
    ids = rng.integers(NUM_IDS, size=(num_rows, 2))
    lengths = rng.integers(0, 4, num_rows)
    tags = rng.integers(NUM_IDS, size=lengths.sum())
    rows = np.repeat(np.arange(num_rows), lengths)
    logit = TRUE_WEIGHTS[0, ids[:, 0]] + TRUE_WEIGHTS[2, ids[:, 1]]
    logit += np.bincount(rows, TRUE_WEIGHTS[1, tags], num_rows)
    click = rng.random(num_rows) < 1 / (1 + np.exp(-logit))
    conversion = click & (rng.random(num_rows) < 1 / (1 + np.exp(1 - logit)))
    weight = np.ones(num_rows)
    if num_padding:
        weight[-num_padding:] = 0
        click[-num_padding:] = conversion[-num_padding:] = True
    return Batch(
        ids_BF=torch.tensor(ids, dtype=torch.int32),
        bags=(Bag(torch.tensor(tags, dtype=torch.int32),
                  torch.tensor(np.cumsum([0, *lengths]))),),
        click_B=torch.tensor(click).float(), conversion_B=torch.tensor(conversion).float(),
        weight_B=torch.tensor(weight), sample_id_B=torch.arange(num_rows),
        group_id_B=torch.zeros(num_rows, dtype=torch.int64),
    )


def batches(num_batches: int, seed: int) -> Iterator[Batch]:
    rng = np.random.default_rng(seed)
    for _ in range(num_batches):
        yield make_batch(1000, rng)


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference.fit(batches(20, seed=0), FEATURES, Encodings())


def test_it_finds_the_weights_behind_the_clicks(reference: Reference) -> None:
    """Each feature's weights, up to the constant that the intercept takes."""
    coefficients = reference.linear_of_task[Task.CTR].coefficient_C.reshape(3, NUM_IDS)
    # The space holds single-valued and multi-valued features in order of declaration.
    for feature in (0, 2):
        found = coefficients[feature] - coefficients[feature].mean()
        np.testing.assert_allclose(
            found, TRUE_WEIGHTS[feature] - TRUE_WEIGHTS[feature].mean(), atol=0.25
        )
    np.testing.assert_allclose(coefficients[1], TRUE_WEIGHTS[1], atol=0.25)


def test_its_three_fits_are_calibrated_on_their_own_spaces(reference: Reference) -> None:
    """A fit with a free intercept predicts as many positives as it saw, on the rows it saw."""
    totals = np.zeros((2, 3))
    for batch in batches(20, seed=0):
        logits = reference.predict(batch)
        click, conversion = batch.click_B.numpy(), batch.conversion_B.numpy()
        p_ctr, p_cvr, p_ctcvr = (
            1 / (1 + np.exp(-known(logit))) for logit in
            (logits.ctr_logit_N, logits.cvr_logit_N, logits.ctcvr_logit_N)
        )
        totals[0] += p_ctr.sum(), p_cvr[click == 1].sum(), p_ctcvr.sum()
        totals[1] += click.sum(), conversion.sum(), conversion.sum()
    np.testing.assert_allclose(totals[0], totals[1], rtol=1e-3)


def test_it_predicts_a_row_by_the_sum_of_its_columns(reference: Reference) -> None:
    batch = make_batch(5, np.random.default_rng(1))
    linear = reference.linear_of_task[Task.CVR]
    coefficients = linear.coefficient_C.reshape(3, NUM_IDS)
    ids, bag = batch.ids_BF.numpy(), batch.bags[0]
    for row, found in enumerate(known(reference.predict(batch).cvr_logit_N)):
        tags = bag.ids_V[bag.offsets_B1[row]:bag.offsets_B1[row + 1]].numpy()
        expected = linear.intercept + coefficients[0, ids[row, 0]] + coefficients[2, ids[row, 1]]
        assert found == pytest.approx(expected + coefficients[1, tags].sum())


def test_a_weight_is_how_much_a_row_has_of_a_column(reference: Reference) -> None:
    batch = make_batch(50, np.random.default_rng(1))
    (bag,) = batch.bags
    twice = dataclasses.replace(bag, weights_V=torch.full((len(bag.ids_V),), 2.0))
    none = dataclasses.replace(bag, weights_V=torch.zeros(len(bag.ids_V)))
    plain, doubled, without = (
        known(reference.predict(dataclasses.replace(batch, bags=(some,))).ctr_logit_N)
        for some in (bag, twice, none)
    )
    assert not np.allclose(plain, without)
    np.testing.assert_allclose(doubled - plain, plain - without)


def test_ids_that_training_never_saw_weigh_nothing() -> None:
    rng = np.random.default_rng(0)
    seen = make_batch(500, rng)
    few = Batch(seen.ids_BF % 5, (Bag(seen.bags[0].ids_V % 5, seen.bags[0].offsets_B1),),
                seen.click_B, seen.conversion_B, seen.weight_B, seen.sample_id_B, seen.group_id_B)
    reference = Reference.fit([few], FEATURES, Encodings())
    unseen = Batch(torch.full((1, 2), 9, dtype=torch.int32),
                   (Bag(torch.tensor([10, 11], dtype=torch.int32), torch.tensor([0, 2])),),
                   *(torch.zeros(1) for _ in range(5)))
    assert known(reference.predict(unseen).ctr_logit_N)[0] == pytest.approx(
        reference.linear_of_task[Task.CTR].intercept
    )


def test_padding_teaches_nothing() -> None:
    padded = make_batch(1000, np.random.default_rng(2), num_padding=200)
    bag = padded.bags[0]
    end = int(bag.offsets_B1[800])
    real = Batch(padded.ids_BF[:800], (Bag(bag.ids_V[:end], bag.offsets_B1[:801]),),
                 *(getattr(padded, name)[:800] for name in
                   ("click_B", "conversion_B", "weight_B", "sample_id_B", "group_id_B")))
    one, other = (Reference.fit([batch], FEATURES, Encodings()) for batch in (padded, real))
    for task in Task:
        np.testing.assert_allclose(one.linear_of_task[task].coefficient_C,
                                   other.linear_of_task[task].coefficient_C, atol=1e-6)


def test_padding_is_no_second_class() -> None:
    """Clicks that stand in padding alone: only the real rows' smoothed rate is left."""
    batch = make_batch(100, np.random.default_rng(2), num_padding=40)
    unclicked = dataclasses.replace(batch, click_B=(batch.weight_B == 0).float(),
                                    conversion_B=torch.zeros(100))
    reference = Reference.fit([unclicked], FEATURES, Encodings())
    np.testing.assert_allclose(known(reference.predict(batch).ctr_logit_N), np.log(0.5 / 60.5))


def test_without_both_classes_it_predicts_a_smoothed_rate() -> None:
    linear = Linear.fit(sparse.csr_matrix((99, 4)), np.zeros(99), np.ones(99))
    np.testing.assert_allclose(linear.logits(sparse.csr_matrix((2, 4))), np.log(0.5 / 99.5))
