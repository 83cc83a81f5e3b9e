"""What commands tell machines: every line an object that says who tells; people read it as ever."""

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from esmm_dist.contract.command_line import config_from, config_parser, run_command
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.telling import seconds_per_redraw, tell
from tests.unit.contract.conftest import MINIMAL

Command = Callable[[Sequence[str]], None]
ARGV = ["--config", str(MINIMAL)]


def command(then: Callable[[], None]) -> Command:
    """A command that reads its config, tells two things, and does something more."""
    def main(argv: Sequence[str]) -> None:
        config_from(config_parser(None).parse_args(argv))
        tell("notice", "it begins")
        tell("point", None, loss=0.5, worst=float("nan"))
        then()

    return main


@pytest.fixture
def in_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESMM_DIST_LOG", "json")


def objects(text: str) -> list[dict[str, Any]]:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


def nothing() -> None:
    pass


def test_people_read_texts_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(command(lambda: print("done")), ARGV) == 0
    told = capsys.readouterr()
    assert (told.out, told.err) == ("done\n", "it begins\n")


def test_every_line_says_what_happened_and_who_tells(
    in_json: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOROVOD_RANK", "3")
    assert run_command(command(nothing), [*ARGV, "--for-day", "2024-02-07"]) == 0
    told = objects(capsys.readouterr().err)
    assert [one["event"] for one in told] == ["begun", "notice", "point", "ended"]
    assert all(one["command"] == "test_telling" and one["rank"] == 3 and one["at"] for one in told)
    for one in told[1:]:
        assert (one["run"], one["run_id"]) == ("minimal-2024-02-07",) * 2
        assert one["day"] == "2024-02-07"
    assert told[1]["text"] == "it begins"
    assert (told[2]["loss"], told[2]["worst"]) == (0.5, "nan")
    assert told[3]["seconds"] >= 0


def test_a_scheduler_gives_one_id_to_all_commands_of_a_run(
    in_json: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ESMM_DIST_RUN_ID", "scheduled__2024-01-05")
    run_command(command(nothing), ARGV)
    assert {one["run_id"] for one in objects(capsys.readouterr().err)} == {"scheduled__2024-01-05"}


def test_nothing_is_told_of_an_earlier_command(
    in_json: None, capsys: pytest.CaptureFixture[str]
) -> None:
    run_command(command(nothing), ARGV)
    config_from(config_parser(None).parse_args(ARGV))  # by whoever is no command
    capsys.readouterr()
    run_command(lambda argv: None, [])
    assert all("run" not in one for one in objects(capsys.readouterr().err))


def test_what_others_print_is_told_too_and_results_stay_on_stdout(
    in_json: None, capsys: pytest.CaptureFixture[str]
) -> None:
    def careless() -> None:
        print("bundles/small/abc")
        sys.stderr.write("50%\r100%\nhalf a ")
        sys.stderr.write("line")

    run_command(command(careless), ARGV)
    told = capsys.readouterr()
    (result,) = objects(told.out)
    assert (result["event"], result["text"]) == ("result", "bundles/small/abc")
    *_, fifty, hundred, half, ended = objects(told.err)
    assert [one["text"] for one in (fifty, hundred, half)] == ["50%", "100%", "half a line"]
    assert half["event"] == "printed" and ended["event"] == "ended"
    print("as ever")
    assert capsys.readouterr().out == "as ever\n"


def test_wrong_flags_are_an_error_like_any_other(
    in_json: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run_command(command(nothing), ["--for-day", "tomorrow"])
    assert ended.value.code == 2
    begun, error, end = objects(capsys.readouterr().err)
    assert (begun["event"], error["event"], end["event"]) == ("begun", "error", "ended")
    assert error["text"].startswith("error: ") and "tomorrow: write yyyy-mm-dd" in error["text"]


@pytest.mark.parametrize("value", ["", "text"])
def test_an_empty_format_is_the_default(
    value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ESMM_DIST_LOG", value)
    assert run_command(command(nothing), ARGV) == 0
    assert capsys.readouterr().err == "it begins\n"
    with pytest.raises(SystemExit):
        run_command(command(nothing), ["--nothing"])
    assert capsys.readouterr().err.startswith("usage: ")


def raising(error: BaseException) -> Callable[[], None]:
    def then() -> None:
        raise error

    return then


def test_how_a_command_ends_is_told(in_json: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(command(raising(InputError("a.yaml: no"))), ARGV) == 2
    error = objects(capsys.readouterr().err)[-2]
    assert (error["event"], error["text"]) == ("error", "error: a.yaml: no")
    assert run_command(command(raising(KeyboardInterrupt())), ARGV) == 130
    assert objects(capsys.readouterr().err)[-2]["event"] == "interrupted"
    with pytest.raises(SystemExit) as ended:
        run_command(command(raising(ZeroDivisionError("by nothing"))), ARGV)
    assert ended.value.code == 1
    failed = objects(capsys.readouterr().err)[-2]
    assert failed["text"] == "ZeroDivisionError: by nothing" and "raise error" in failed["trace"]
    with pytest.raises(SystemExit) as ended:
        run_command(command(raising(SystemExit(3))), ARGV)
    assert ended.value.code == 3


def test_a_bar_is_redrawn_for_people_and_leaves_few_lines_for_machines(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    assert seconds_per_redraw() < 1
    monkeypatch.setenv("ESMM_DIST_LOG", "json")
    assert seconds_per_redraw() > 10


def test_a_format_that_there_is_not_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ESMM_DIST_LOG", "yaml")
    assert run_command(command(nothing), ARGV) == 2
    assert capsys.readouterr().err == "error: ESMM_DIST_LOG = 'yaml': give one of text, json\n"
