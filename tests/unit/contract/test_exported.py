"""What an exported model takes: an input for each column of ids or weights."""

import pytest

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.exported import ExportIndex, ModelInput, inputs_of
from esmm_dist.contract.features import CategoricalFeature, Group, HashEncoding
from tests.factories.random_batches import FEATURES


def test_inputs_follow_the_declaration_and_weights_lie_beside_their_ids() -> None:
    assert inputs_of(FEATURES) == (
        ModelInput(name="user", feature="user", type="int32"),
        ModelInput(name="tags", feature="tags", type="int32", max_length=64),
        ModelInput(name="history", feature="history", type="int32", max_length=64),
        ModelInput(name="history_weights", feature="history", type="float32", max_length=64),
        ModelInput(name="item", feature="item", type="int32"),
        ModelInput(name="last_item", feature="last_item", type="int32"),
    )


def test_a_feature_called_like_an_output_is_refused() -> None:
    feature = CategoricalFeature(name="p_ctr", group=Group.USER, encode=HashEncoding(hash_size=9))
    with pytest.raises(InputError, match=r"^features\.p_ctr: .* give the feature another name"):
        inputs_of([feature])


@pytest.mark.parametrize("text", ["", "{}", '{"format_version": 2}'])
def test_what_is_no_export_is_refused_by_its_file(text: str) -> None:
    with pytest.raises(InputError, match="^runs/a/export.json: damaged, .* esmm_dist.export again"):
        ExportIndex.parse(text, "runs/a/export.json")
