"""The schema that editors complete and check configs by."""

import json
from pathlib import Path

import pytest

from esmm_dist.contract.json_schema import config_schema
from esmm_dist.contract.sections import Config, Train

CONF = Path(__file__).parents[3] / "conf"


def test_the_schema_in_conf_is_current() -> None:
    """Else run: python -m esmm_dist.contract.json_schema > conf/schema.json"""
    assert (CONF / "schema.json").read_text(encoding="utf-8") == config_schema()


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.name)
def test_every_config_tells_editors_its_schema(path: Path) -> None:
    first_line = path.read_text(encoding="utf-8").splitlines()[0]
    assert first_line == "# yaml-language-server: $schema=schema.json"


def test_editors_show_what_a_key_means_and_refuse_unknown_ones() -> None:
    schema = json.loads(config_schema())
    assert set(schema["properties"]) == set(Config.model_fields)
    assert schema["additionalProperties"] is False
    train = schema["$defs"]["Train"]
    assert train["additionalProperties"] is False
    assert train["properties"]["batch_size"]["description"] == (
        Train.model_fields["batch_size"].description
    ) == "Rows of one step over all ranks together."


def test_editors_know_the_kinds_of_feature() -> None:
    schema = json.loads(config_schema())
    kinds = schema["properties"]["features"]["items"]["discriminator"]["mapping"]
    assert set(kinds) == {"categorical", "multi_valued", "numeric", "cross"}
