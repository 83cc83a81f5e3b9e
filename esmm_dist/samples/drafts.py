"""Files that come to be in a draft and are then given their names, below the folder of one build.

It knows neither logs nor rows.
"""

import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from esmm_dist.labelling.sample_file import CONTENT, MAGIC
from esmm_dist.samples.failures import naming_the_file
from esmm_dist.samples.io import DRAFTS, Store, build_folder, now

NUM_RENAMING_THREADS = 8


def written(
    store: Store, contents: DataFrame, file_of_partition: Callable[[int], tuple[date, int]]
) -> str:
    """Writes one file a partition.

    Args:
        contents: one row a file, its bytes up to the magic that ends it.
        file_of_partition: the day of the file that a partition makes, and its place in it.

    Returns:
        The id of the build, in whose folders the files lie; nothing lists them yet.
    """
    build_id = f"{now():%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"  # new, and sorting by time
    draft = f"{DRAFTS}/{build_id}"
    try:
        path_of_path: dict[str, str] = {}
        for partition, path in _drafted(store, contents, draft).items():
            day, place = file_of_partition(partition)
            path_of_path[path] = f"{build_folder(day, build_id)}/{place:05}.parquet"
        _move(store, path_of_path)
    finally:
        store.files.delete(draft)
    return build_id


def _drafted(store: Store, contents: DataFrame, folder: str) -> dict[int, str]:
    """Files of Parquet whose bytes are rows, written by whatever file system Spark knows: its text
    writer ends each row with the magic. Returns the files by the partition that made them."""
    text = contents.select(F.col(CONTENT).cast("string").alias("value"))
    with naming_the_file("logs"):
        text.write.text(f"{store.path}/{folder}", compression="none", lineSep=MAGIC.decode())
    return {
        _partition_number(name): f"{folder}/{name}"
        for name, size in store.files.sizes(folder).items()
        if name.startswith("part-") and size  # Spark makes an empty file where it has no rows
    }


def _move(store: Store, path_of_path: Mapping[str, str]) -> None:
    for folder in {path.rpartition("/")[0] for path in path_of_path.values()}:
        store.files.make_directory(folder)
    with ThreadPoolExecutor(NUM_RENAMING_THREADS) as pool:
        list(pool.map(lambda pair: store.files.rename(*pair), path_of_path.items()))


def _partition_number(name: str) -> int:
    """Spark names a file after the partition that wrote it: part-00017-…"""
    return int(name.split("-")[1])
