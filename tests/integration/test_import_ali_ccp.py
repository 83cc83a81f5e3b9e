"""Raw Ali-CCP files become samples: every field, whole lists with their values, each row once."""

import struct
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
import xxhash

from esmm_dist.contract.config import load_config
from esmm_dist.contract.encoder import SPARK_SEED
from esmm_dist.contract.encodings import Encodings
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.features import MultiValuedFeature, table_of
from esmm_dist.contract.manifest import read_encodings, read_manifest
from esmm_dist.contract.sections import Config
from tests.factories.ali_ccp_files import RawHalf, RawRow, raw_half, skeleton_line, write_half

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark

CONFIG = Path(__file__).parents[2] / "conf" / "ali_ccp.yaml"
TRAIN, TEST = date(2018, 1, 1), date(2018, 1, 2)
HALVES = {"train": raw_half(1, 900, 40), "test": raw_half(2, 500, 30)}


def config_in(folder: Path) -> Config:
    logs = [f"logs.{log}.path={folder}/logs/{log}" for log in
            ("impressions", "clicks", "conversions")]
    return load_config(CONFIG, [
        f"samples.path={folder}/samples", f"runs_path={folder}/runs", "samples.rows_per_file=400",
        "train.batch_size=120", "model.embedding_dim=4", "model.hidden_units=[8]",
        "evaluate.num_bootstraps=100", *logs,
    ])


@pytest.fixture(scope="module")
def imported(spark: "SparkSession", tmp_path_factory: pytest.TempPathFactory) -> Path:
    from jobs.import_ali_ccp import import_files

    folder = tmp_path_factory.mktemp("ali")
    for name, half in HALVES.items():
        write_half(folder / "raw", name, half)
    import_files(spark, config_in(folder), str(folder / "raw"))
    return folder


def legal(half: RawHalf) -> list[RawRow]:
    return [row for row in half.rows if row.click or not row.conversion]


def sample_id(name: str) -> int:
    unsigned = xxhash.xxh64_intdigest(name.encode(), SPARK_SEED)
    return unsigned - (1 << 64) if unsigned >= 1 << 63 else unsigned


def expected(row: RawRow, half: RawHalf, config: Config, encodings: Encodings) -> dict[str, Any]:
    """The sample of a line, by a dictionary of its features."""
    from esmm_dist.samples.ali_ccp import SINGLE, VALUED

    of_field: dict[str, list[tuple[str, str]]] = {}
    for field, id_, value in [*row.features, *half.common[row.index]]:
        of_field.setdefault(field, []).append((id_, value))
    sample: dict[str, Any] = {"click": row.click, "conversion": row.conversion}
    for feature in config.features:
        name = feature.name
        keys = encodings.vocabularies[table_of(feature)]
        ids = {key: 2 + place for place, key in enumerate(keys)}
        entries = of_field.get(SINGLE[name] if name in SINGLE else VALUED[name], [])
        if isinstance(feature, MultiValuedFeature):
            sample[name] = tuple(ids.get(id_, 1) for id_, _ in entries)
            sample[f"{name}_weights"] = tuple(
                struct.unpack("<f", struct.pack("<f", float(value)))[0] for _, value in entries
            )
        else:
            sample[name] = ids.get(entries[0][0], 1) if entries else 0
    return sample


def test_every_legal_row_is_a_sample_with_all_its_fields(imported: Path) -> None:
    config, samples = config_in(imported), imported / "samples"
    manifest = read_manifest(samples)
    encodings = read_encodings(samples, manifest)
    assert len(config.features) == 23
    for (name, half), day in zip(HALVES.items(), manifest.days, strict=True):
        assert len(legal(half)) < len(half.rows)
        found = {}
        for file in day.files:
            for row in pq.ParquetFile(samples / file.path).read().to_pylist():
                found[row["sample_id"]] = row
        assert day.num_rows == len(found) == len(legal(half)), "no row more than the skeleton has"
        for line in legal(half):
            sample = found[sample_id(f"{name}-{line.sample_id}")]
            for column, value in expected(line, half, config, encodings).items():
                got = sample[column]
                if isinstance(got, bytes):
                    kind = "f" if column.endswith("_weights") else "i"
                    got = struct.unpack(f"<{len(got) // 4}{kind}", got)
                assert got == value, (name, line.sample_id, column)


def test_vocabularies_hold_what_the_training_half_shows_ten_times(imported: Path) -> None:
    encodings = read_encodings(imported / "samples", read_manifest(imported / "samples"))
    counts: dict[str, int] = {}
    for row in legal(HALVES["train"]):
        for field, id_, _ in [*row.features, *HALVES["train"].common[row.index]]:
            if field == "205":
                counts[id_] = counts.get(id_, 0) + 1
    frequent = {id_ for id_, number in counts.items() if number >= 10}
    assert set(encodings.vocabularies["item_id"]) == frequent < set(counts)


def test_what_was_imported_trains_and_evaluates(imported: Path) -> None:
    from esmm_dist.contract.command_line import run_command
    from esmm_dist.distributed.world import SoloWorld
    from esmm_dist.evaluate import main
    from esmm_dist.train import train_run
    from tests.factories.written_samples import write_config

    document = config_in(imported).model_dump(mode="json")
    path = write_config(imported, document)
    train_run(load_config(path), SoloWorld(), resume=False)
    assert run_command(main, ["--config", str(path)]) == 0
    assert (imported / "runs" / "ali_ccp" / "report.html").exists()


def spoilt(folder: Path, line: str, number: int = 5, name: str = "sample_skeleton_test") -> Path:
    """Raw files of which one has another line at a place counted from 1."""
    for half, rows in HALVES.items():
        write_half(folder / "raw", half, rows)
    path = folder / "raw" / f"{name}.csv"
    lines = path.read_text().split("\n")
    lines[number - 1] = line
    path.write_text("\n".join(lines))
    return path


GOOD = RawRow(5, 0, 0, next(iter(HALVES["test"].common)), [("205", "1", "1.0")])


@pytest.mark.parametrize(
    "line",
    [
        skeleton_line(GOOD).replace("5,0,0", "5,0"),
        skeleton_line(GOOD).replace("5,0,0", "5,2,0"),
        skeleton_line(GOOD).replace("5,0,0", "x,0,0"),
        skeleton_line(GOOD).replace(",1,205", ",2,205"),
        skeleton_line(GOOD).replace("\x03", ""),
        skeleton_line(GOOD).replace("1.0", "one"),
        skeleton_line(GOOD).replace("205\x02", "999\x02"),
        skeleton_line(GOOD).replace("205\x02", "101\x02"),
    ],
    ids=["a column less", "a label of 2", "an id that is no number", "another number of features",
         "no separator", "a value that is no number", "an unknown field", "a field of the others"],
)
def test_a_malformed_line_is_named_by_file_and_number(
    line: str, spark: "SparkSession", tmp_path: Path
) -> None:
    from esmm_dist.samples.ali_ccp import refuse_malformed

    path = spoilt(tmp_path, line, number=7)
    with pytest.raises(InputError, match=f"{path.name}:7: '"):
        refuse_malformed(spark, "skeleton", str(path))


def test_nothing_that_is_there_is_replaced(
    spark: "SparkSession", imported: Path, tmp_path: Path
) -> None:
    from jobs.import_ali_ccp import import_files

    there = tmp_path / "logs" / "impressions"
    there.mkdir(parents=True)
    with pytest.raises(InputError, match=f"logs.impressions.path = {there}: something is there"):
        import_files(spark, config_in(tmp_path), str(imported / "raw"))
    assert list(there.parent.iterdir()) == [there] and not list(there.iterdir())

    before = read_manifest(imported / "samples")
    elsewhere = config_in(tmp_path / "other")
    samples = elsewhere.samples.model_copy(update={"path": str(imported / "samples")})
    again = elsewhere.model_copy(update={"samples": samples})
    with pytest.raises(InputError, match=f"the day {TRAIN} has .* samples already: remove them"):
        import_files(spark, again, str(imported / "raw"))
    assert read_manifest(imported / "samples") == before
    assert not (tmp_path / "other").exists()


def test_an_index_that_stands_twice_is_refused(spark: "SparkSession", tmp_path: Path) -> None:
    from jobs.import_ali_ccp import import_files

    lines = HALVES["train"].common
    first = next(iter(lines))
    spoilt(tmp_path, f"{first},1,101\x021\x031.0", 2, "common_features_train")
    with pytest.raises(InputError, match=f"common_feature_index '{first}' stands there 2 times"):
        import_files(spark, config_in(tmp_path), str(tmp_path / "raw"))
    assert not (tmp_path / "logs").exists()
