"""Two bundles side by side: only what differs."""

from pathlib import Path

from esmm_dist.serving.difference import difference
from esmm_dist.serving.store import BundleStore
from tests.factories.bundles import add_bundle, bundle_config, places


def test_what_differs_is_shown_and_nothing_else(tmp_path: Path) -> None:
    store = BundleStore(tmp_path / "bundles")
    old, new = places("a", "b"), places("a", "b", "c", ancestry=places("a", "b").lineage)
    before = add_bundle(store, bundle_config(tmp_path), old, ctr_auc=0.7)
    after = add_bundle(store, bundle_config(tmp_path, seed=2), new, ctr_auc=0.75)
    found = difference(before, after)
    assert found.config == {"train.seed": (1, 2)}
    assert found.metrics == {"ctr_auc": (0.7, 0.75)}
    assert found.vocabularies == {"place": (2, 3, 0)}
    assert found.rows_of_table == {"place": (4, 5)}
    assert found.relation == "appended: every id of the first means the same in the second"
    assert difference(after, before).relation == "the first appended to the second"


def test_encodings_learned_apart_lose_keys(tmp_path: Path) -> None:
    store = BundleStore(tmp_path / "bundles")
    before, after = (add_bundle(store, bundle_config(tmp_path), places(*keys))
                     for keys in (("a", "b"), ("b", "c", "d")))
    found = difference(before, after)
    assert found.vocabularies == {"place": (2, 3, 1)}
    assert found.relation == "learned apart: ids do not mean the same"
    assert difference(before, before).relation == "the same encodings"
