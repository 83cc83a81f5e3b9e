"""A small config as text, to be spoilt in one place at a time."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from esmm_dist.contract.config import load_config
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.sections import Config

MINIMAL = Path(__file__).with_name("minimal.yaml")

LoadText = Callable[..., Config]


@pytest.fixture
def load_text(tmp_path: Path) -> LoadText:
    """Loads the small config after texts in it were replaced, with overrides."""

    def load(replacing: Mapping[str, str] = {}, *overrides: str) -> Config:
        text = MINIMAL.read_text(encoding="utf-8")
        for old, new in replacing.items():
            assert text.count(old) == 1, f"{old!r} does not stand in the config once"
            text = text.replace(old, new)
        path = tmp_path / "spoilt.yaml"
        path.write_text(text, encoding="utf-8")
        return load_config(path, overrides)

    return load


@pytest.fixture
def config(load_text: LoadText) -> Config:
    """The small config as it stands."""
    return load_text()


def mistake(load_text: LoadText, replacing: dict[str, str], *overrides: str) -> str:
    """The line without the name of the file."""
    with pytest.raises(InputError) as caught:
        load_text(replacing, *overrides)
    message = str(caught.value)
    assert "\n" not in message
    return message
