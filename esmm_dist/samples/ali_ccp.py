"""The raw files of Ali-CCP as the three logs of a config: checked, parsed, joined once by index.

Its rows have no time: the training half becomes the first day declared, the test half the second,
each row at noon. docs/ali_ccp.md says what becomes of every line.

    skeleton  sample_id,click,conversion,common_feature_index,feature_num,feature_list
    common    common_feature_index,feature_num,feature_list

A feature_list joins `field \\x02 id \\x03 value` by \\x01.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import NamedTuple

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.logs import Logs
from esmm_dist.samples.failures import naming_the_file, plain_path
from esmm_dist.samples.files import Files
from esmm_dist.samples.terminal import phase

# Column of the impressions: field of the raw files. Single-valued fields first.
SINGLE = {
    "user_id": "101", "profile_121": "121", "profile_122": "122", "profile_124": "124",
    "profile_125": "125", "profile_126": "126", "profile_127": "127", "profile_128": "128",
    "profile_129": "129", "item_id": "205", "category_id": "206", "shop_id": "207",
    "brand_id": "216", "position": "301",
}
# These have values: a list of ids, and beside it a list of values under the name + `_values`.
VALUED = {
    "category_history": "109_14", "shop_history": "110_14", "brand_history": "127_14",
    "intention_history": "150_14", "intentions": "210", "cross_category": "508",
    "cross_shop": "509", "cross_brand": "702", "cross_intentions": "853",
}
COMMON = ("101", "109_14", "110_14", "127_14", "150_14", "121", "122", "124", "125", "126", "127",
          "128", "129")
HALVES = ("train", "test")
PARTITION = "dt"
EVENT_COLUMNS = ("impression_id", "event_time", PARTITION)

_NUM_COLUMNS = {"skeleton": 6, "common": 3}
_FEATURE = "^[^\\x02\\x03]+\\x02[^\\x02\\x03]+\\x03[0-9.eE+-]+$"
_INDEX_BITS = 33


class HalfCounts(NamedTuple):
    """What one half of the raw files holds."""

    rows: int
    illegal: int
    """Conversions without a click: skipped."""
    without_common: int
    """Rows whose common_feature_index no common row has: their common fields are null."""
    common_rows: int
    skeleton_features: int
    """Of rows that are kept."""
    joined_features: int
    """Of the same rows with their common ones: what the joined form holds."""


def write_logs(
    spark: SparkSession, folder: str, logs: Logs, days: Sequence[date]
) -> dict[str, HalfCounts]:
    """Writes the raw files of both halves as the three logs, in Parquet, partitioned by day.

    Args:
        folder: of the four files.
        logs: where to write them; a log that is there already is refused.
        days: of the training and of the test half.

    Raises:
        InputError: a file is missing; a line is malformed (names file and line); an index stands
            twice among the common features; a log exists, or is a table.
    """
    _refuse_what_is_there(spark, logs)
    counts: dict[str, HalfCounts] = {}
    rows: DataFrame | None = None
    for half, day in zip(HALVES, days, strict=True):
        paths = {kind: f"{folder}/{name}_{half}.csv" for kind, name in
                 (("skeleton", "sample_skeleton"), ("common", "common_features"))}
        lines = {kind: _lines(spark, kind, path) for kind, path in paths.items()}
        with phase(f"checking every line of the {half} half"):
            for kind, path in paths.items():
                refuse_malformed(spark, kind, path)
            _refuse_repeated(paths["common"], lines["common"])
            counts[half] = _counts(lines["skeleton"], lines["common"])
        of_half = _impressions(lines["skeleton"], lines["common"], half, day)
        rows = of_half if rows is None else rows.unionByName(of_half)
    assert rows is not None
    impressions = rows.drop("click_label", "conversion_label")
    events = {label: rows.where(F.col(f"{label}_label") == 1).select(*EVENT_COLUMNS)
              for label in ("click", "conversion")}
    for source, frame in ((logs.clicks, events["click"]), (logs.conversions, events["conversion"]),
                          (logs.impressions, impressions)):
        with phase(f"writing {source.place}"), naming_the_file(source.place):
            frame.write.partitionBy(PARTITION).parquet(source.place)
    return counts


def _refuse_what_is_there(spark: SparkSession, logs: Logs) -> None:
    """Looked at before any log is written: the last must not be what stops the first ones."""
    for name in ("impressions", "clicks", "conversions"):
        source = getattr(logs, name)
        if source.path is None:
            raise InputError(f"logs.{name}: raw files become Parquet: give the path of a directory")
        if Files(spark, source.path).exists(""):
            raise InputError(
                f"logs.{name}.path = {source.path}: something is there already: remove it, or give "
                "another path"
            )


def _lines(spark: SparkSession, kind: str, path: str) -> DataFrame:
    with naming_the_file(path):
        text = spark.read.text(path)
    parts = F.split("value", ",")
    features = F.split(F.get(parts, _NUM_COLUMNS[kind] - 1), "\\x01")
    return text.select(
        "value", parts.alias("parts"),
        F.filter(features, lambda feature: feature != "").alias("features"),
        (F.size(parts) == _NUM_COLUMNS[kind]).alias("is_whole"),
    )


def _is_malformed(kind: str) -> Column:
    """Whether a line is not of the documented form."""
    fields = [*SINGLE.values(), *VALUED.values()]
    known = COMMON if kind == "common" else [field for field in fields if field not in COMMON]
    number = F.get("parts", _NUM_COLUMNS[kind] - 2).try_cast("int")
    is_right = (
        F.col("is_whole")
        & (F.size("features") == number)
        & F.forall("features", lambda feature: (
            feature.rlike(_FEATURE)
            & F.get(F.split(feature, "\\x02"), 0).isin(list(known))
            & _value(feature).isNotNull()
        ))
    )
    if kind == "skeleton":
        is_right &= F.get("parts", 0).try_cast("bigint").isNotNull()
        is_right &= F.get("parts", 1).isin("0", "1") & F.get("parts", 2).isin("0", "1")
    return ~F.coalesce(is_right, F.lit(False))


def _value(feature: Column) -> Column:
    return F.get(F.split(feature, "\\x03"), 1).try_cast("double")


def refuse_malformed(spark: SparkSession, kind: str, path: str) -> None:
    """Refuses a file with a line that is not of the documented form.

    Args:
        kind: skeleton or common.

    Raises:
        InputError: names the file and the first such line.
    """
    with naming_the_file(path):
        lines = _lines(spark, kind, path)
        found = lines.where(_is_malformed(kind)).select(F.input_file_name().alias("file")).first()
    if found is None:
        return
    # Only now is it worth to know where: lines are numbered by the blocks in which Spark reads.
    numbered = (
        _lines(spark, kind, found.file)
        .select("*", F.input_file_block_start().alias("block"))
        .select("*", F.monotonically_increasing_id().bitwiseAND((1 << _INDEX_BITS) - 1)
                .alias("place"))
    )
    bad = numbered.where(_is_malformed(kind)).orderBy("block", "place").collect()[0]
    before = numbered.where(F.col("block") < bad.block).count()
    raise InputError(
        f"{plain_path(found.file)}:{before + bad.place + 1}: {bad.value[:60]!r} is no line of "
        f"{_NUM_COLUMNS[kind]} columns with as many known features as it says: mend the file"
    )


def _refuse_repeated(path: str, common: DataFrame) -> None:
    twice = common.groupBy(F.get("parts", 0).alias("index")).count().where("count > 1").first()
    if twice is not None:
        raise InputError(
            f"{path}: the common_feature_index {twice['index']!r} stands there {twice['count']} "
            "times, so nobody knows which features are meant: remove all but one"
        )


def _legal(skeleton: DataFrame) -> DataFrame:
    return skeleton.where((F.get("parts", 1) == "1") | (F.get("parts", 2) == "0"))


def _index(kind: str) -> Column:
    return F.get("parts", 3 if kind == "skeleton" else 0).alias("index")


def _counts(skeleton: DataFrame, common: DataFrame) -> HalfCounts:
    rows = skeleton.count()
    sizes = common.select(_index("common"), F.size("features").alias("num_common"))
    legal = (
        _legal(skeleton).select(_index("skeleton"), F.size("features").alias("num_own"))
        .join(sizes, "index", "left")
        .agg(
            F.count("*").alias("rows"), F.sum(F.col("num_common").isNull().cast("int")).alias("no"),
            F.sum("num_own").alias("own"), F.sum("num_common").alias("common"),
        )
        .collect()[0]
    )
    own = legal.own or 0
    return HalfCounts(
        rows, rows - legal.rows, legal.no or 0, common.count(), own, own + (legal.common or 0)
    )


def _impressions(
    skeleton: DataFrame, common: DataFrame, half: str, day: date
) -> DataFrame:
    """A row for each legal line, the common fields beside its own."""
    own = _legal(skeleton).select(
        F.concat(F.lit(f"{half}-"), F.get("parts", 0)).alias("impression_id"),
        F.lit(datetime.combine(day, time(12), UTC)).alias("event_time"),
        F.lit(day.isoformat()).alias(PARTITION),
        F.get("parts", 1).cast("int").alias("click_label"),
        F.get("parts", 2).cast("int").alias("conversion_label"),
        _index("skeleton"),
        *_fields(of_common=False),
    )
    shared = common.select(_index("common"), *_fields(of_common=True))
    return own.join(shared, "index", "left").drop("index")


def _fields(of_common: bool) -> list[Column]:
    def of_this_file(names: Mapping[str, str]) -> dict[str, str]:
        return {name: f for name, f in names.items() if (f in COMMON) == of_common}

    columns = []
    for name, field in of_this_file(SINGLE).items():
        columns.append(F.get(_ids(_entries(field)), 0).alias(name))
    for name, field in of_this_file(VALUED).items():
        columns.append(_ids(_entries(field)).alias(name))
        columns.append(F.transform(_entries(field), _value).alias(f"{name}_values"))
    return columns


def _entries(field: str) -> Column:
    return F.filter("features", lambda feature: feature.startswith(f"{field}\x02"))


def _ids(entries: Column) -> Column:
    return F.transform(entries, lambda feature: F.get(F.split(feature, "\\x02|\\x03"), 1))
