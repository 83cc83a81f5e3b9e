"""Overrides: where `--set` reaches, and the one line that a wrong one becomes."""

import pytest

from esmm_dist.contract.features import HashEncoding
from tests.unit.contract.conftest import LoadText, mistake


def test_overrides_reach_sections_values_and_elements(load_text: LoadText) -> None:
    config = load_text(
        {}, "train.batch_size=8192", "train.tables.name=sgd", "features.city.encode.min_count=9",
        "features.0.encode={hash_size: 7}", "model.hidden_units=[8, 4]", "train.batch_size=16",
        "logs.impressions.columns.user_id=uid", "runs_path=a=b",
    )
    assert config.train.batch_size == 16
    assert config.train.tables.name == "sgd"
    assert config.features[1].encode.model_dump() == {"min_count": 9}
    assert config.features[0].encode == HashEncoding(hash_size=7)
    assert config.model.hidden_units == (8, 4)
    assert config.logs.impressions.columns == {"user_id": "uid"}
    assert config.runs_path == "a=b"


def test_an_override_of_a_shared_part_changes_that_section_alone(load_text: LoadText) -> None:
    shared = {"train:\n": "train:\n  towers: &rule {name: sgd}\n  tables: *rule\n"}
    config = load_text(shared, "train.tables.learning_rate=0.5")
    assert config.train.tables.learning_rate == 0.5
    assert config.train.towers.learning_rate == 1e-3


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train.batch_size", "write it as section.key=value"),
        ("=3", "write it as section.key=value"),
        ("name=[", "the value is no valid YAML"),
        ("name=", "no value: write null for none, '' for an empty text"),
        ("train.batch_size=&a [*a]", "the value is no valid YAML"),
        ("name.x=3", "name is a value, not a section"),
        ("name.x.y=3", "there is no section above 'x'"),
        ("features.nope.group=user", "the list has no element 'nope'"),
        ("features.5.group=user", "the list has no element '5'"),
        ("train.batch_sise=3", "unknown key train.batch_sise: did you mean batch_size?"),
        ("evalute.batch_size=3", "unknown key evalute: did you mean evaluate?"),
    ],
)
def test_a_wrong_override_is_named(load_text: LoadText, override: str, expected: str) -> None:
    message = mistake(load_text, {}, override)
    assert f"--set {override}: " in message
    assert expected in message
