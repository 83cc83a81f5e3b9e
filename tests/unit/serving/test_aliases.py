"""Aliases are switched all at once: by whoever comes first, and never half."""

import errno
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from esmm_dist.contract.bundle import check_alias
from esmm_dist.contract.errors import InputError
from esmm_dist.serving.aliases import END, AliasBook, in_service, pointed, rolled_back

ONE, TWO, THREE = ("1" * 64, "2" * 64, "3" * 64)


# ---------------------------------------------------------------------------------------------
# What a switch means
# ---------------------------------------------------------------------------------------------


def test_the_bundle_before_becomes_previous() -> None:
    first = in_service({}, ONE)
    assert first == {"current": ONE}
    second = in_service(first, TWO)
    assert second == {"current": TWO, "previous": ONE}
    assert in_service(second, THREE) == {"current": THREE, "previous": TWO}


def test_publishing_again_changes_nothing() -> None:
    aliases = {"current": TWO, "previous": ONE, "trial": THREE}
    assert in_service(aliases, TWO) == aliases


def test_a_rollback_goes_back_once_however_often_it_is_repeated() -> None:
    once = rolled_back({"current": TWO, "previous": ONE, "trial": THREE})
    assert once == {"current": ONE, "withdrawn": TWO, "trial": THREE}
    assert rolled_back(once) == once


def test_a_withdrawn_bundle_does_not_come_back_by_a_retry() -> None:
    withdrawn = rolled_back({"current": TWO, "previous": ONE})
    with pytest.raises(InputError, match="was taken out of service by a rollback"):
        in_service(withdrawn, TWO)
    assert in_service(withdrawn, THREE) == {"current": THREE, "previous": ONE}


def test_by_hand_a_withdrawn_bundle_comes_back() -> None:
    withdrawn = rolled_back({"current": TWO, "previous": ONE})
    assert pointed(withdrawn, "current", TWO) == {"current": TWO, "previous": ONE}


def test_without_a_previous_bundle_there_is_no_way_back() -> None:
    with pytest.raises(InputError, match="no previous bundle to go back to"):
        rolled_back({"current": ONE})


@pytest.mark.parametrize("aliases", [{}, {"previous": ONE}, {"withdrawn": ONE}])
def test_where_nothing_serves_there_is_nothing_to_go_back_from(aliases: dict[str, str]) -> None:
    with pytest.raises(InputError, match="nothing is in service"):
        rolled_back(aliases)


def test_any_other_alias_leaves_the_rest_alone() -> None:
    assert pointed({"current": ONE}, "trial", TWO) == {"current": ONE, "trial": TWO}


@pytest.mark.parametrize("alias", ["", "Current", "a b", "../x", "0123abcd", "deadbeef", "_x"])
def test_an_alias_that_cannot_be_told_from_a_name_is_refused(alias: str) -> None:
    with pytest.raises(InputError, match="write small letters"):
        check_alias(alias)


# ---------------------------------------------------------------------------------------------
# How it is written down
# ---------------------------------------------------------------------------------------------


def test_a_switch_is_a_new_number_and_none_if_nothing_changes(tmp_path: Path) -> None:
    book = AliasBook(tmp_path / "_aliases")
    assert book.of_alias() == {}
    for name in (ONE, TWO, TWO):
        book.switch(lambda aliases, name=name: in_service(aliases, name))  # type: ignore[misc]
    assert book.of_alias() == {"current": TWO, "previous": ONE}
    assert sorted(os.listdir(tmp_path / "_aliases")) == ["00000001.json", "00000002.json"]


def test_who_comes_second_decides_anew(tmp_path: Path) -> None:
    book = AliasBook(tmp_path)
    seen: list[Mapping[str, str]] = []

    def late(aliases: Mapping[str, str]) -> Mapping[str, str]:
        seen.append(dict(aliases))
        if len(seen) == 1:
            AliasBook(tmp_path).switch(lambda others: in_service(others, ONE))
        return in_service(aliases, TWO)

    assert book.switch(late) == {"current": TWO, "previous": ONE}
    assert seen == [{}, {"current": ONE}]


def test_a_half_written_switch_has_never_been(tmp_path: Path) -> None:
    book = AliasBook(tmp_path)
    book.switch(lambda aliases: in_service(aliases, ONE))
    (tmp_path / "00000002.json").write_text('{"format_version": 1, "nu', encoding="utf-8")
    assert book.of_alias() == {"current": ONE}
    assert book.switch(lambda aliases: in_service(aliases, TWO))["current"] == TWO
    assert book.of_alias() == {"current": TWO, "previous": ONE}


def test_aliases_of_another_version_are_not_passed_over(tmp_path: Path) -> None:
    book = AliasBook(tmp_path)
    book.switch(lambda aliases: in_service(aliases, ONE))
    (tmp_path / "00000002.json").write_text('{\n "format_version": 2\n}\n', encoding="utf-8")
    with pytest.raises(InputError, match="00000002.json: damaged, or of another version"):
        book.of_alias()


def test_no_flipped_bit_puts_another_model_into_service(tmp_path: Path) -> None:
    """Neither the one before, by a document that no longer reads, nor none at all."""
    book = AliasBook(tmp_path)
    for name in (ONE, TWO):
        book.switch(lambda aliases, name=name: in_service(aliases, name))  # type: ignore[misc]
    path, aliases = tmp_path / "00000002.json", book.of_alias()
    written = path.read_bytes()
    num_refused = 0
    for place in range(len(written) - len(END)):
        flipped = bytes([written[place] ^ 1])
        path.write_bytes(written[:place] + flipped + written[place + 1 :])
        try:
            assert book.of_alias() == aliases, f"at {place}: {path.read_bytes()!r}"
        except InputError as error:
            assert "remove it, and say what is to serve" in str(error)
            num_refused += 1
    assert num_refused > len(written) / 2


def test_aliases_of_before_there_were_checksums_are_read(tmp_path: Path) -> None:
    text = '{\n "format_version": 1,\n "number": 1,\n "switched_at": "2026-01-01T00:00:00Z",\n'
    (tmp_path / "00000001.json").write_text(
        f'{text} "bundle_of_alias": {{\n  "current": "{ONE}"\n }}\n}}\n', encoding="utf-8"
    )
    assert AliasBook(tmp_path).of_alias() == {"current": ONE}


def test_a_document_cut_anywhere_has_never_been(tmp_path: Path) -> None:
    book = AliasBook(tmp_path)
    for name in (ONE, TWO):
        book.switch(lambda aliases, name=name: in_service(aliases, name))  # type: ignore[misc]
    written = (tmp_path / "00000002.json").read_bytes()
    for end in range(len(written)):
        (tmp_path / "00000002.json").write_bytes(written[:end])
        assert book.of_alias() == {"current": ONE}


def test_it_works_where_files_cannot_be_linked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_link(*paths: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_link)
    book = AliasBook(tmp_path)
    for name in (ONE, TWO):
        book.switch(lambda aliases, name=name: in_service(aliases, name))  # type: ignore[misc]
    assert book.of_alias() == {"current": TWO, "previous": ONE}
    assert sorted(os.listdir(tmp_path)) == ["00000001.json", "00000002.json"]
