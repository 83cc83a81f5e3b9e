"""Bundles lie under their content's name, whole or not at all."""

import os
import time
from pathlib import Path

import pytest

from esmm_dist.contract.bundle import INDEX
from esmm_dist.contract.errors import InputError
from esmm_dist.serving.aliases import pointed
from esmm_dist.serving.store import HOURS_OF_A_DRAFT, BundleStore
from tests.factories.bundles import add_bundle, bundle_config, places


@pytest.fixture
def store(tmp_path: Path) -> BundleStore:
    return BundleStore(tmp_path / "bundles")


def test_the_same_content_is_the_same_bundle(store: BundleStore, tmp_path: Path) -> None:
    config = bundle_config(tmp_path)
    one, two = (add_bundle(store, config, places("a")) for _ in range(2))
    other = add_bundle(store, config, places("a"), weights=b"others")
    assert one.name == two.name != other.name
    assert store.names() == sorted([one.name, other.name])
    assert [path for path in store.path.iterdir() if path.name.startswith(".")] == []


def test_a_bundle_is_meant_by_alias_name_beginning_or_folder(
    store: BundleStore, tmp_path: Path
) -> None:
    bundle = add_bundle(store, bundle_config(tmp_path), places("a"))
    store.aliases.switch(lambda aliases: pointed(aliases, "trial", bundle.name))
    for reference in ("trial", bundle.name, bundle.name[:8], str(bundle.path)):
        assert store.open(reference).name == bundle.name
    assert store.current() is None


@pytest.mark.parametrize("reference", ["current", "0123456789", ""])
def test_what_nothing_is_called_is_named_with_what_there_is(
    store: BundleStore, tmp_path: Path, reference: str
) -> None:
    bundle = add_bundle(store, bundle_config(tmp_path), places("a"))
    with pytest.raises(InputError, match=f"called '{reference}' .there is {bundle.name[:12]}"):
        store.open(reference)


def test_a_write_that_fails_leaves_nothing(store: BundleStore) -> None:
    def write(folder: Path) -> None:
        (folder / "config.yaml").write_text("half", encoding="utf-8")
        raise InputError("the disk is full")

    with pytest.raises(InputError, match="full"):
        store.add(write, lambda parts: pytest.fail("not reached"))
    assert list(store.path.iterdir()) == []


def test_a_bundle_that_was_damaged_since_is_put_right(store: BundleStore, tmp_path: Path) -> None:
    config = bundle_config(tmp_path)
    weights = add_bundle(store, config, places("a")).path / "model" / "tables.safetensors"
    weights.write_bytes(b"broken!")
    add_bundle(store, config, places("a"))
    assert weights.read_bytes() == b"weights"
    assert len(list(store.path.iterdir())) == 1


def test_drafts_of_killed_writers_go_after_a_day_and_no_sooner(
    store: BundleStore, tmp_path: Path
) -> None:
    hours_ago = [int(time.time()) - hours * 3600 for hours in (HOURS_OF_A_DRAFT + 1, 1)]
    old, young = (store.path / f".draft-{begun}-0123" for begun in hours_ago)
    for draft in (old, young):
        draft.mkdir(parents=True)
    add_bundle(store, bundle_config(tmp_path), places("a"))
    assert young.exists() and not old.exists()


def test_what_no_alias_means_is_pruned_from_the_oldest_on(
    store: BundleStore, tmp_path: Path
) -> None:
    config = bundle_config(tmp_path)
    bundles = [add_bundle(store, config, places("a"), weights=bytes([n])) for n in range(5)]
    for days_old, bundle in enumerate(reversed(bundles), start=0):
        begun = time.time() - days_old * 24 * 3600 - 60 * (days_old > 0)
        os.utime(bundle.path / INDEX, (begun, begun))
    serving, *others = bundles
    store.aliases.switch(lambda aliases: pointed(aliases, "current", serving.name))
    assert store.prune(3) == [others[0].name]
    assert store.prune(0) == [others[1].name, others[2].name], "the youngest is of today"
    assert store.names() == sorted([serving.name, others[3].name])
    assert store.prune(0) == []


def test_what_the_bundle_in_service_came_from_is_not_pruned(
    store: BundleStore, tmp_path: Path
) -> None:
    config = bundle_config(tmp_path)
    parent = add_bundle(store, config, places("a"), weights=b"parent")
    child = add_bundle(store, config, places("a"), weights=b"child", parent=parent.name)
    os.utime(parent.path / INDEX, (0, 0))
    store.aliases.switch(lambda aliases: pointed(aliases, "current", child.name))
    assert store.prune(0) == []
    store.aliases.switch(lambda aliases: {})
    assert store.prune(0) == [parent.name]
