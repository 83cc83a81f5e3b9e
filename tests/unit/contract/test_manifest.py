"""Manifests: the highest whole one counts, and what does not fit is refused by name."""

import os
from datetime import date
from pathlib import Path

import pytest

from esmm_dist.contract.encodings import Encodings
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.manifest import (
    EncodingsReference,
    Manifest,
    check_fingerprint,
    manifest_numbers,
    manifest_path,
    read_encodings,
    read_manifest,
)
from tests.factories.numbered_samples import FIRST_DAY, write_samples


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return write_samples(tmp_path, ((3,), (2, 2)))


def publish(folder: Path, manifest: Manifest, number: int) -> Path:
    path = folder / manifest_path(number)
    text = manifest.model_copy(update={"number": number}).model_dump_json()
    path.write_text(text, encoding="utf-8")
    return path


def test_a_manifest_is_read_back_to_the_same(tmp_path: Path, manifest: Manifest) -> None:
    assert read_manifest(tmp_path) == manifest
    assert Manifest.parse(manifest.model_dump_json(), "file") == manifest


def test_the_highest_number_counts_and_a_run_may_pin_another(
    tmp_path: Path, manifest: Manifest
) -> None:
    for number in (2, 10, 9):
        publish(tmp_path, manifest, number)
    assert read_manifest(tmp_path).number == 10
    assert read_manifest(tmp_path, 9).number == 9


def test_numbers_are_told_from_other_files() -> None:
    names = ["00000002.json", "00000010.json", "notes.txt", "x.json", "00000011.json.tmp", "².json"]
    assert manifest_numbers(names) == [10, 2]


@pytest.mark.parametrize("num_bytes_left", [0, 1, 500])
def test_a_manifest_that_was_not_written_to_its_end_does_not_count(
    tmp_path: Path, manifest: Manifest, num_bytes_left: int
) -> None:
    path = publish(tmp_path, manifest, 2)
    os.truncate(path, num_bytes_left)
    assert read_manifest(tmp_path).number == 1
    with pytest.raises(InputError, match=r"00000002.json: no readable manifest \(Invalid JSON"):
        read_manifest(tmp_path, 2)


def test_a_whole_manifest_of_another_format_is_refused_and_not_passed_over(
    tmp_path: Path, manifest: Manifest
) -> None:
    path = publish(tmp_path, manifest, 2)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"format_version":1', '"format_version":2'), encoding="utf-8")
    with pytest.raises(InputError, match=r"00000002.json: .*format_version = 2: Input should be 1"):
        read_manifest(tmp_path)


def test_samples_without_a_manifest_are_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(InputError, match="no samples manifest there: run jobs/build_samples"):
            read_manifest(folder)


def test_a_pinned_manifest_that_is_gone_is_named(tmp_path: Path, manifest: Manifest) -> None:
    with pytest.raises(InputError, match="_manifests/00000007.json: No such file"):
        read_manifest(tmp_path, 7)


def test_days_are_selected_in_order_and_once(manifest: Manifest) -> None:
    second = FIRST_DAY.replace(day=2)
    days = manifest.select([second, FIRST_DAY, second], "samples")
    assert [day.day for day in days] == [FIRST_DAY, second]


def test_a_day_that_was_not_built_is_named_with_what_to_do(manifest: Manifest) -> None:
    with pytest.raises(InputError) as caught:
        manifest.select([FIRST_DAY, date(2025, 12, 4), date(2025, 12, 6)], "data/samples")
    assert str(caught.value) == (
        "data/samples: the day 2025-12-04 has no samples (built: 2025-12-01 to 2025-12-02): "
        "run jobs/build_samples.py --days 2025-12-04:2025-12-06"
    )


def test_another_declaration_is_refused_with_both_fingerprints(manifest: Manifest) -> None:
    check_fingerprint(manifest, manifest.fingerprint, "samples")
    with pytest.raises(InputError) as caught:
        check_fingerprint(manifest, "f" * 64, "samples")
    message = str(caught.value)
    assert message.startswith("samples/_manifests/00000001.json: ")
    assert manifest.fingerprint[:12] in message and "f" * 12 in message


class TestEncodings:
    """The encodings that a manifest names."""

    LEARNED = Encodings(vocabularies={"city": ("a",)})

    def named(self, manifest: Manifest, content_hash: str) -> Manifest:
        reference = EncodingsReference(path="_encodings/e.json", content_hash=content_hash)
        return manifest.model_copy(update={"encodings": reference})

    def write(self, folder: Path, text: str) -> None:
        (folder / "_encodings").mkdir()
        (folder / "_encodings/e.json").write_text(text, encoding="utf-8")

    def test_they_are_read(self, tmp_path: Path, manifest: Manifest) -> None:
        self.write(tmp_path, self.LEARNED.model_dump_json())
        named = self.named(manifest, self.LEARNED.content_hash)
        assert read_encodings(tmp_path, named) == self.LEARNED

    def test_others_are_refused_with_both_hashes(self, tmp_path: Path, manifest: Manifest) -> None:
        self.write(tmp_path, Encodings().model_dump_json())
        named = self.named(manifest, self.LEARNED.content_hash)
        with pytest.raises(InputError) as caught:
            read_encodings(tmp_path, named)
        for content_hash in (self.LEARNED.content_hash, Encodings().content_hash):
            assert content_hash[:12] in str(caught.value)

    def test_a_missing_file_is_named(self, tmp_path: Path, manifest: Manifest) -> None:
        with pytest.raises(InputError, match="_encodings/e.json: No such file"):
            read_encodings(tmp_path, self.named(manifest, "x"))
