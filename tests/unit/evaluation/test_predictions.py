"""Predictions from batches, and their way to disk and back."""

import dataclasses
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from esmm_dist.contract.batch import Batch
from esmm_dist.contract.errors import InputError
from esmm_dist.evaluation.prediction_files import (
    Origin,
    read_parts,
    remove_other_folds,
    write_part,
)
from esmm_dist.evaluation.predictions import Logits, Predictions
from tests.factories.predictions import known, random_predictions

ORIGIN = Origin(model="esmm", manifest=3, checkpoint="ab12", num_parts=2)


def equal(found: Predictions, expected: Predictions) -> None:
    for field in dataclasses.fields(Predictions):
        np.testing.assert_array_equal(getattr(found, field.name), getattr(expected, field.name))


def batch(sample_ids: list[int], weights: list[float], num_padded: int = 0) -> Batch:
    ids = torch.tensor(sample_ids)
    return Batch(
        ids_BF=ids[:, None].to(torch.int32), bags=(), click_B=(ids % 2).float(),
        conversion_B=(ids % 4 == 3).float(), weight_B=torch.tensor(weights), sample_id_B=ids,
        group_id_B=-ids, num_padded=num_padded,
    )


def logits_of(batch: Batch) -> Logits:
    ids = batch.sample_id_B.numpy()
    return Logits((ids * 0.5).astype(np.float32), (ids * -0.25).astype(np.float32))


def test_batches_become_rows_without_their_padding() -> None:
    """A row that no log gives a weight is a row nevertheless, even one whose sample id is 0."""
    day = date(2024, 2, 29)
    batches = [batch([7, 8, 9], [1.0, 2.0, 0.0]), batch([10, 0, 0], [0.5, 0.0, 0.0], 1),
               batch([0, 0, 0], [0.0, 0.0, 0.0], 3)]
    found = Predictions.collect(day, batches, logits_of)
    np.testing.assert_array_equal(found.sample_id_N, [7, 8, 9, 10, 0])
    np.testing.assert_array_equal(found.group_id_N, [-7, -8, -9, -10, 0])
    np.testing.assert_array_equal(found.click_N, [1, 0, 1, 0, 0])
    np.testing.assert_array_equal(found.conversion_N, [1, 0, 0, 0, 0])
    np.testing.assert_array_equal(found.weight_N, [1.0, 2.0, 0.0, 0.5, 0.0])
    np.testing.assert_array_equal(known(found.ctr_logit_N), [3.5, 4.0, 4.5, 5.0, 0.0])
    np.testing.assert_array_equal(known(found.cvr_logit_N), [-1.75, -2.0, -2.25, -2.5, 0.0])
    assert set(found.day_N.astype(date)) == {day} and found.ctcvr_logit_N is None


@pytest.mark.parametrize("changes", [
    {}, {"ctcvr_logit_N": np.arange(400.0)}, {"ctr_logit_N": None},
    {"cvr_logit_N": None, "cvr_log_p_N": np.arange(-1.0, 3.0, 0.01)},
], ids=["product", "ctcvr by itself", "no ctr", "a quotient"])
def test_parts_come_back_as_they_were_in_order_of_samples(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    whole = dataclasses.replace(random_predictions(), **changes)
    odd = np.arange(len(whole)) % 2 == 1
    write_part(tmp_path, 0, whole.take(odd), ORIGIN)
    write_part(tmp_path, 1, whole.take(~odd), ORIGIN)
    found, origin = read_parts(tmp_path)
    assert origin == ORIGIN
    equal(found, whole)


def test_a_rank_without_rows_writes_an_empty_part(tmp_path: Path) -> None:
    whole = dataclasses.replace(random_predictions(), ctcvr_logit_N=np.zeros(400))
    write_part(tmp_path, 0, whole, ORIGIN)
    write_part(tmp_path, 1, whole.take(np.zeros(400, bool)), ORIGIN)
    equal(read_parts(tmp_path)[0], whole)


def test_other_tools_read_the_parts_by_name(tmp_path: Path) -> None:
    path = write_part(tmp_path, 1, random_predictions(), ORIGIN)
    assert path.name == "part-1.parquet" and [p.name for p in tmp_path.iterdir()] == [path.name]
    schema = pq.read_schema(path)
    assert schema.names == ["sample_id", "group_id", "day", "click", "conversion", "weight",
                            "ctr_logit", "cvr_logit", "ctcvr_logit", "cvr_log_p"]
    assert str(schema.field("day").type) == "date32[day]"


def test_an_id_that_comes_back_on_another_day_is_another_sample() -> None:
    first = random_predictions()
    second = dataclasses.replace(first, day_N=first.day_N + np.timedelta64(100, "D"))
    both = Predictions.concatenate([second, first]).in_order_of_samples("here")
    assert len(both) == 2 * len(first)
    same = both.sample_id_N[1:] == both.sample_id_N[:-1]
    assert same.sum() == len(first)
    assert (both.day_N[1:][same] > both.day_N[:-1][same]).all()


def test_a_sample_predicted_twice_is_refused(tmp_path: Path) -> None:
    whole = random_predictions()
    write_part(tmp_path, 0, whole.take(np.arange(0, 201)), ORIGIN)
    write_part(tmp_path, 1, whole.take(np.arange(200, 400)), ORIGIN)
    with pytest.raises(InputError, match=f"{whole.sample_id_N[200]} was predicted twice"):
        read_parts(tmp_path)


def test_parts_of_two_evaluations_are_refused(tmp_path: Path) -> None:
    write_part(tmp_path, 0, random_predictions(), ORIGIN)
    write_part(tmp_path, 1, random_predictions(seed=1),
               dataclasses.replace(ORIGIN, checkpoint="cd34"))
    with pytest.raises(InputError, match="different evaluations.*evaluate again"):
        read_parts(tmp_path)


def test_a_missing_part_is_refused(tmp_path: Path) -> None:
    write_part(tmp_path, 1, random_predictions(), ORIGIN)
    with pytest.raises(InputError, match="1 parts of 2"):
        read_parts(tmp_path)


def test_parts_of_more_ranks_make_way(tmp_path: Path) -> None:
    for part in range(4):
        write_part(tmp_path, part, random_predictions(),
                   dataclasses.replace(ORIGIN, num_parts=4))
    whole = random_predictions(seed=5)
    write_part(tmp_path, 0, whole, dataclasses.replace(ORIGIN, num_parts=1))
    equal(read_parts(tmp_path)[0], whole)


@pytest.mark.parametrize("content", [b"", b"PAR1 and no more", None])
def test_what_is_no_part_is_refused_by_its_name(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "part-0.parquet").write_bytes(content)
    else:
        pq.write_table(pq.read_table(write_part(tmp_path, 0, random_predictions(), ORIGIN))
                       .replace_schema_metadata({}), tmp_path / "part-0.parquet")
    with pytest.raises(InputError, match="part-0.parquet: no readable predictions"):
        read_parts(tmp_path)


def test_no_predictions_at_all_name_the_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing: no predictions there"):
        read_parts(tmp_path / "nothing")


def test_folds_of_an_earlier_evaluation_make_way(tmp_path: Path) -> None:
    for fold in ("2024-01-03", "2024-01-04"):
        write_part(tmp_path / fold, 0, random_predictions(), ORIGIN)
    (tmp_path / "2024-01-03" / "notes.txt").write_text("mine")
    remove_other_folds(tmp_path, ["2024-01-04"])
    assert sorted(p.name for p in tmp_path.rglob("*.*")) == ["notes.txt", "part-0.parquet"]
    remove_other_folds(tmp_path, [])
    assert [p.name for p in tmp_path.iterdir()] == ["2024-01-03"]
