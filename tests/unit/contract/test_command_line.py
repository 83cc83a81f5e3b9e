"""The flags every command shares, and how it ends when its input is bad."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest

from esmm_dist.contract.command_line import config_from, config_parser, run_command
from esmm_dist.contract.errors import InputError
from tests.unit.contract.conftest import MINIMAL


def test_flags_choose_a_config_and_override_it() -> None:
    arguments = config_parser("does a thing").parse_args(
        ["--config", str(MINIMAL), "--set", "train.seed=5", "--set", "name=other"]
    )
    config = config_from(arguments)
    assert (config.name, config.train.seed) == ("other", 5)


def test_the_config_of_the_example_is_the_default() -> None:
    arguments = config_parser(None).parse_args([])
    assert (arguments.config, arguments.overrides) == ("conf/kuairand.yaml", [])


def test_a_day_moves_the_experiment_after_its_overrides() -> None:
    arguments = config_parser(None).parse_args(
        ["--config", str(MINIMAL), "--for-day", "2024-01-05", "--set", "name=nightly"]
    )
    config = config_from(arguments)
    assert (config.name, config.evaluate.days.last) == ("nightly-2024-01-05", date(2024, 1, 5))


def test_what_is_no_day_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        config_parser(None).parse_args(["--for-day", "yesterday"])
    assert "yesterday: write yyyy-mm-dd" in capsys.readouterr().err


def test_an_abbreviated_flag_is_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        config_parser(None).parse_args(["--conf", "x"])
    assert "unrecognized arguments" in capsys.readouterr().err


def test_bad_input_is_one_line_and_status_two(capsys: pytest.CaptureFixture[str]) -> None:
    def command(argv: Sequence[str]) -> None:
        raise InputError(f"file: {argv[0]} is wrong")

    assert run_command(command, ["key"]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "error: file: key is wrong\n")


@pytest.mark.parametrize(
    ("hint", "line"), [("", "interrupted\n"), ("go on", "interrupted: go on\n")]
)
def test_ctrl_c_is_one_line_and_the_status_of_shells(
    capsys: pytest.CaptureFixture[str], hint: str, line: str
) -> None:
    def command(argv: Sequence[str]) -> None:
        raise KeyboardInterrupt

    assert run_command(command, [], hint) == 130
    assert capsys.readouterr().err == line


def test_what_the_system_says_of_a_file_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "runs").write_text("")
    assert run_command(lambda argv: (tmp_path / "runs" / "a").mkdir(parents=True), []) == 2
    assert capsys.readouterr().err == f"error: {tmp_path}/runs/a: Not a directory\n"


def test_a_full_disk_is_told_though_no_file_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    def command(argv: Sequence[str]) -> None:
        with open("/dev/full", "w") as file:
            file.write("x")

    assert run_command(command, []) == 2
    assert capsys.readouterr().err == "error: No space left on device\n"


def test_help_keeps_the_lines_of_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        config_parser("Does a thing.\n\n    thing --one\n    thing --two\n").parse_args(["--help"])
    assert "\n    thing --one\n    thing --two\n" in capsys.readouterr().out


def test_a_command_that_works_ends_with_status_zero() -> None:
    assert run_command(lambda argv: None, []) == 0


def test_a_defect_of_ours_is_not_hidden() -> None:
    def command(argv: Sequence[str]) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_command(command, [])
