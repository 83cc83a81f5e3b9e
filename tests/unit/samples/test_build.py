"""What a build says of logs that break while it learns from them; no Spark session."""

from collections import defaultdict
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from pyspark.errors import AnalysisException

from esmm_dist.contract.config import load_config
from esmm_dist.contract.errors import InputError
from esmm_dist.samples import build
from tests.unit.contract.conftest import MINIMAL


def test_a_file_that_breaks_while_vocabularies_are_learned_is_named(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    def rows() -> Iterator[tuple[object, ...]]:
        yield "city", "Lyon", None, 3
        raise AnalysisException("[FAILED_READ_FILE.PARQUET_COLUMN_DATA_TYPE_MISMATCH] no name")

    config = load_config(MINIMAL, ())
    builder = build.Builder.__new__(build.Builder)
    opened: dict[str, Any] = {
        "_config": config, "_frames": None, "_snapshots": {},
        "_counts": {"impressions_in": defaultdict(lambda: 1)},
    }
    vars(builder).update(opened)
    monkeypatch.setattr(build, "impressions_and_before", lambda *_: None)
    monkeypatch.setattr(build, "sightings", lambda *_: SimpleNamespace(toLocalIterator=rows))
    with pytest.raises(InputError) as raised:
        builder._learned(config.features)
    assert str(raised.value) == (
        f"logs.impressions ({config.logs.impressions.path}): "
        "a column's type differs from the other files'"
    )
