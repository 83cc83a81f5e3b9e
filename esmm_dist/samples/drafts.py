"""Files that come to be in a draft and are then given their names, below the folder of one build.

It knows neither logs nor rows.
"""

import uuid
from collections.abc import Callable
from datetime import date

from pyspark.sql import DataFrame

from esmm_dist.samples.io import DRAFTS, Store, build_folder, now


def written(
    store: Store, contents: DataFrame, file_of_partition: Callable[[int], tuple[date, int]]
) -> str:
    """Writes one file a partition.

    Args:
        contents: as `Store.write` takes them.
        file_of_partition: the day of the file that a partition makes, and its place in it.

    Returns:
        The id of the build, in whose folders the files lie; nothing lists them yet.
    """
    build_id = f"{now():%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"  # new, and sorting by time
    draft = f"{DRAFTS}/{build_id}"
    try:
        path_of_path: dict[str, str] = {}
        for partition, path in store.write(contents, draft).items():
            day, place = file_of_partition(partition)
            path_of_path[path] = f"{build_folder(day, build_id)}/{place:05}.parquet"
        store.move(path_of_path)
    finally:
        store.files.delete(draft)
    return build_id
