"""How a build's days join those that another published meanwhile; no Spark."""

from datetime import UTC, date, datetime
from typing import cast

import pytest

from esmm_dist.contract.config import load_config
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.manifest import Day, EncodingsReference, Manifest
from esmm_dist.contract.sections import Config
from esmm_dist.samples.io import Store
from esmm_dist.samples.publication import publish
from tests.unit.contract.conftest import MINIMAL

ENCODINGS = EncodingsReference(path="e.json", content_hash="e")


class Directory:
    """What `publish` asks of a store, in memory."""

    path = "samples"

    def __init__(self) -> None:
        self.manifests: list[Manifest] = []

    def latest(self) -> tuple[Manifest | None, int]:
        return self.manifests[-1] if self.manifests else None, 1 + len(self.manifests)

    def publish(self, manifest: Manifest) -> bool:
        self.manifests.append(manifest)
        return True


def config_of(**samples: object) -> Config:
    """The small config, with some settings of its samples changed."""
    config = load_config(MINIMAL, ())
    return config.model_copy(update={"samples": config.samples.model_copy(update=samples)})


def day_of(number: int) -> Day:
    instant = datetime(2024, 1, number, tzinfo=UTC)
    return Day(
        day=date(2024, 1, number), build_id="b", built_at=instant, as_of=None, known_by={},
        files=(), num_rows=0, num_clicks=0, num_conversions=0, first_event_time=instant,
        last_event_time=instant, counters={},
    )


def published(
    directory: Directory, config: Config, number: int, starts_anew: bool = False
) -> list[int]:
    """Publishes a day; the days that the manifest then holds."""
    store = cast(Store, directory)
    manifest = publish(store, config, ENCODINGS, [day_of(number)], starts_anew)
    return [day.day.day for day in manifest.days]


def test_days_of_other_settings_that_began_on_an_empty_directory_too_are_refused_by_name() -> None:
    directory, other = Directory(), config_of(click_window_hours=7.0)
    published(directory, config_of(), 1)
    with pytest.raises(InputError, match="of other settings meanwhile: .*click_window_hours is 7"):
        published(directory, other, 2)
    assert len(directory.manifests) == 1
    assert published(directory, other, 2, starts_anew=True) == [2]


def test_days_of_the_same_settings_join_whatever_days_ids_are_learned_from() -> None:
    directory, config = Directory(), config_of()
    published(directory, config, 1)
    others = config.samples.fit_days.model_copy(update={"last": date(2024, 1, 2)})
    assert published(directory, config_of(fit_days=others), 2) == [1, 2]
