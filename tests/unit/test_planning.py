"""Ranks whose copies of the samples differ do not begin: each would train on rows of its own."""

from pathlib import Path

import pytest

from esmm_dist.contract.config import parse_config
from esmm_dist.contract.errors import InputError
from esmm_dist.distributed.world import SoloWorld
from esmm_dist.planning import pin_manifest
from tests.factories.written_samples import small_document, write_samples


class OtherSamples(SoloWorld):
    """Two ranks, seen by the first, of which the other's manifest of the same number is another."""

    def gather_objects(self, value: object, name: str) -> list[object]:
        if name == "told in full":
            assert isinstance(value, dict)
            return [value, {key: "another" for key in value}]
        return [value, value if name == "manifest" else "another"]


def test_all_ranks_read_the_same_samples_or_none(tmp_path: Path) -> None:
    document = small_document(tmp_path)
    manifest = write_samples(document, num_rows_of_day=10)
    config = parse_config(document, "small")
    assert pin_manifest(config, SoloWorld(), None) == manifest
    with pytest.raises(InputError, match="^samples manifest 1 is '.*' on rank 0, 'another' on"):
        pin_manifest(config, OtherSamples(), None)
