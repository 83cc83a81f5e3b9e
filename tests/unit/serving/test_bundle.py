"""A bundle that is not whole, or not what its name says, is refused with the reason."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from esmm_dist.contract.bundle import INDEX, BundleIndex, name_of
from esmm_dist.contract.errors import InputError
from esmm_dist.serving.bundle import Bundle
from esmm_dist.serving.store import BundleStore
from tests.factories.bundles import add_bundle, bundle_config, places


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return add_bundle(BundleStore(tmp_path / "bundles"), bundle_config(tmp_path), places("a", "b"))


def rewritten(bundle: Bundle, change: Callable[[BundleIndex], BundleIndex]) -> Path:
    """The bundle with another index, under the name that is right for it."""
    text = change(bundle.index).to_json()
    copy = bundle.path.with_name(name_of(text))
    shutil.copytree(bundle.path, copy)
    (copy / INDEX).write_text(text, encoding="utf-8")
    return copy


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        Bundle.open(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_bundle_gives_back_what_was_put_in(bundle: Bundle, tmp_path: Path) -> None:
    opened = Bundle.open(bundle.path)
    assert opened.name == bundle.path.name and opened.index == bundle.index
    assert opened.config == bundle_config(tmp_path)
    assert opened.encodings == places("a", "b")
    assert opened.calibration.maps == {} and opened.sample.rows == ()
    assert opened.export_path is None


def test_a_copy_under_any_other_name_is_the_same_bundle(bundle: Bundle, tmp_path: Path) -> None:
    shutil.copytree(bundle.path, tmp_path / "copy")
    assert Bundle.open(tmp_path / "copy").name == bundle.name


def test_one_flipped_bit_is_found(bundle: Bundle) -> None:
    (bundle.path / "model" / "tables.safetensors").write_bytes(b"weightS")
    assert "model/tables.safetensors: its checksum differs" in refusal(bundle.path)


def test_a_part_cut_short_is_found(bundle: Bundle) -> None:
    (bundle.path / "metrics.json").write_text("{", encoding="utf-8")
    assert "metrics.json: its checksum differs" in refusal(bundle.path)


def test_a_missing_part_is_named(bundle: Bundle) -> None:
    (bundle.path / "encodings.json").unlink()
    assert "encodings.json: No such file or directory: the bundle has lost a part" in refusal(
        bundle.path
    )


def test_an_index_that_was_changed_no_longer_fits_its_name(bundle: Bundle) -> None:
    index = bundle.path / INDEX
    index.write_text(index.read_text(encoding="utf-8").replace("esmm", "base"), encoding="utf-8")
    assert "it was changed or damaged" in refusal(bundle.path)


def test_a_folder_without_an_index_is_no_bundle(bundle: Bundle) -> None:
    (bundle.path / INDEX).unlink()
    assert "no bundle there" in refusal(bundle.path)


def test_an_index_of_another_version_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    document = json.loads(bundle.index.to_json()) | {"format_version": 2}
    shutil.copytree(bundle.path, tmp_path / "copy")
    (tmp_path / "copy" / INDEX).write_text(json.dumps(document), encoding="utf-8")
    assert "of another version" in refusal(tmp_path / "copy")


def test_an_index_that_lists_no_model_is_refused(bundle: Bundle) -> None:
    copy = rewritten(bundle, lambda index: index.model_copy(update={
        "parts": tuple(p for p in index.parts if p.path != "model/index.json"),
    }))
    assert "it lists no model/index.json" in refusal(copy)


def test_a_part_outside_the_bundle_is_refused(bundle: Bundle) -> None:
    outside = bundle.index.parts[0].model_copy(update={"path": "../../secret"})
    copy = rewritten(bundle, lambda index: index.model_copy(update={
        "parts": (*index.parts, outside),
    }))
    assert "damaged" in refusal(copy)


def test_parts_of_another_declaration_are_refused(bundle: Bundle) -> None:
    copy = rewritten(bundle, lambda index: index.model_copy(update={"fingerprint": "0" * 64}))
    assert "it was trained on features 000000000000, config.yaml declares" in refusal(copy)


def test_other_encodings_than_it_was_trained_with_are_refused(bundle: Bundle) -> None:
    copy = rewritten(bundle, lambda index: index.model_copy(update={"encodings": "0" * 64}))
    assert "the bundle means 000000000000" in refusal(copy)


def test_who_declares_other_features_is_told(bundle: Bundle) -> None:
    bundle.check_fingerprint(bundle.index.fingerprint, "conf/x.yaml")
    with pytest.raises(InputError, match="conf/x.yaml declares 111111111111: give a bundle of"):
        bundle.check_fingerprint("1" * 64, "conf/x.yaml")
