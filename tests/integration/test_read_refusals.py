"""Samples that are not what their manifest says are refused in one line, before or while read."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.features import CategoricalFeature, Group, HashEncoding
from esmm_dist.contract.manifest import Manifest, SampleColumn, read_manifest
from esmm_dist.reader.plan import TrainPlan
from esmm_dist.reader.samples import SampleReader
from tests.factories.numbered_samples import (
    FEATURES,
    FIRST_DAY,
    sample_table,
    write_file,
    write_samples,
)

pytestmark = pytest.mark.usefixtures("no_thread_is_left_behind")


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    write_samples(folder, ((40, 13), (7,)))
    return folder


def with_one_file(folder: Path, **changes: int) -> tuple[Path, Manifest]:
    """One day of one file, of which the manifest says what it is told to."""
    manifest = write_samples(folder, ((50,),))
    (day,) = manifest.days
    listed = day.files[0].model_copy(update=changes)
    day = day.model_copy(update={"files": (listed,)})
    return folder / listed.path, manifest.model_copy(update={"days": (day,)})


def plan_of(reader: SampleReader, days: Sequence[date]) -> TrainPlan:
    return TrainPlan.make(
        reader.files(days), batch_size=10, num_lanes=2, seed=0, epoch=0, num_ranks=1
    )


def refusal_of_one(folder: Path, manifest: Manifest) -> str:
    reader = SampleReader(folder, manifest, FEATURES, with_keys=True)
    plan = plan_of(reader, [FIRST_DAY])
    with pytest.raises(InputError) as caught:
        with reader.train_batches(plan, 0) as batches:
            list(batches)
    return str(caught.value)


def test_a_missing_file_is_named_before_the_first_batch(tmp_path: Path) -> None:
    manifest = write_samples(tmp_path, ((50,), (30,), (20,)))
    lost = manifest.days[1].files[0].path
    (tmp_path / lost).unlink()
    reader = SampleReader(tmp_path, manifest, FEATURES, with_keys=False)
    with pytest.raises(InputError, match=f"{lost}: no such file"):
        reader.train_batches(plan_of(reader, [day.day for day in manifest.days]), 0)


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    path, manifest = with_one_file(tmp_path)
    path.write_bytes(path.read_bytes()[:-100])
    assert f"{path}: holds " in refusal_of_one(tmp_path, manifest)


def test_a_row_too_many_in_the_manifest_is_named_with_both_counts(tmp_path: Path) -> None:
    path, manifest = with_one_file(tmp_path, num_rows=51)
    message = refusal_of_one(tmp_path, manifest)
    assert message.startswith(f"{path}: holds 50 rows, the manifest says 51")


def test_rows_that_petastorm_loses_are_found_by_counting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sound footers, but fewer rows come out than the manifest lists."""
    path, manifest = with_one_file(tmp_path, num_rows=51)
    monkeypatch.setattr("esmm_dist.reader.samples.check_file", lambda *_: None)
    message = refusal_of_one(tmp_path, manifest)
    assert message.startswith(f"{path}: 50 rows came from it, the manifest says 51")


def test_nulls_hidden_from_the_footer_are_found_when_they_are_decoded(tmp_path: Path) -> None:
    path, manifest = with_one_file(tmp_path)
    table = sample_table(range(50))
    place = table.column_names.index("item")
    values = pa.array([*table["item"].to_pylist()[:-1], None], pa.int32())
    table = table.set_column(place, "item", values)
    listed = manifest.days[0].files[0].path
    file = write_file(tmp_path, listed, table, write_statistics=False)
    day = manifest.days[0].model_copy(update={"files": (file,)})
    message = refusal_of_one(tmp_path, manifest.model_copy(update={"days": (day,)}))
    assert message.startswith(f"{path}: the column 'item' holds 1 nulls")


def test_samples_of_other_features_are_refused(samples: Path) -> None:
    feature = CategoricalFeature(name="user", group=Group.USER, encode=HashEncoding(hash_size=9))
    with pytest.raises(InputError, match="samples were built for features"):
        SampleReader(samples, read_manifest(samples), [feature], with_keys=False)


def test_a_day_that_was_not_built_is_named(samples: Path) -> None:
    reader = SampleReader(samples, read_manifest(samples), FEATURES, with_keys=True)
    with pytest.raises(InputError, match="2025-12-09 has no samples"):
        reader.files([FIRST_DAY, FIRST_DAY.replace(day=9)])


@pytest.mark.parametrize(
    ("column", "reason"), [(None, "lists no column 'item'"), ("int64", "is int64 instead of int32")]
)
def test_a_manifest_with_another_column_is_refused(
    samples: Path, column: str | None, reason: str
) -> None:
    manifest = read_manifest(samples)
    columns = {name: c for name, c in manifest.columns.items() if name != "item"}
    if column:
        columns["item"] = SampleColumn(type=column)
    with pytest.raises(InputError, match=reason):
        SampleReader(samples, manifest.model_copy(update={"columns": columns}), FEATURES, False)
