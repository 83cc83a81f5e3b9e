"""The flags that every command shares, and how a command ends when its input is bad."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import NoReturn

from esmm_dist.contract.config import DEFAULT_CONFIG_PATH, load_config
from esmm_dist.contract.durations import note_duration
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.moving import moved
from esmm_dist.contract.sections import Config
from esmm_dist.contract.telling import RUN_ID, bind, in_json, tell, telling
from esmm_dist.storage.address import reason_of

EXIT_BAD_INPUT = 2
# What fsspec says of an object, without an error number.
OF_OBJECT_STORES = (FileNotFoundError, PermissionError)

EXIT_INTERRUPTED = 130  # as shells report a process that SIGINT ended

_asked: list[Config] = []
"""The config that the running command was asked to work by, last."""


class _Parser(argparse.ArgumentParser):
    """Tells machines of wrong flags in the one object that they take for an error."""

    def error(self, message: str) -> NoReturn:
        if in_json():
            tell("error", f"error: {self.prog}: {message}")
            raise SystemExit(EXIT_BAD_INPUT)
        super().error(message)


def config_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with --config, --set and --for-day; a command adds what it alone needs."""
    parser = _Parser(
        description=description, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,  # examples keep their lines
    )
    parser.add_argument("--config", default=DEFAULT_CONFIG_PATH, metavar="FILE",
                        help="the experiment's YAML file (default: %(default)s)")
    parser.add_argument("--set", dest="overrides", action="append", default=[],
                        metavar="KEY=VALUE", help="override a value, as in train.batch_size=8192")
    parser.add_argument("--for-day", type=_day, metavar="DAY",
                        help="the same experiment on another day: all days of the config move so "
                             "that samples.days end on this one, and its name is followed by it")
    return parser


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text}: write yyyy-mm-dd") from None


def config_from(arguments: argparse.Namespace) -> Config:
    """The config that parsed flags ask for."""
    config = load_config(arguments.config, arguments.overrides)
    if arguments.for_day is not None:
        config = moved(config, arguments.for_day, f"{arguments.config} --for-day "
                                                  f"{arguments.for_day}")
    bind(run=config.name, day=config.samples.days.last)
    _asked.append(config)
    return config


@contextmanager
def file_errors_told() -> Iterator[None]:
    """What the system says of a file, a full disk or a closed pipe becomes an InputError.

    A library's own OSError, which carries no error number, passes as it is.
    """
    try:
        yield
    except OSError as error:
        if error.strerror is None and type(error) not in OF_OBJECT_STORES:
            raise
        named = error.filename or (isinstance(error, FileNotFoundError) and str(error))
        raise InputError(f"{named}: {reason_of(error)}" if named else reason_of(error)) from error


def run_command(
    command: Callable[[Sequence[str]], None], argv: Sequence[str], hint_if_interrupted: str = ""
) -> int:
    """Runs a command; its exit status is 2 after bad input, of which one line on stderr tells, and
    130 after Ctrl-C, of which another one does. Where a scheduler gives its run an id, the time
    that it took is noted beside the run's folder."""
    _asked.clear()
    try:
        with telling(_name_of(command)):
            return _told_status(command, argv, hint_if_interrupted)
    except InputError as error:  # of the environment, before anything could be told
        print(f"error: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT


def _name_of(command: Callable[[Sequence[str]], None]) -> str:
    """The module that it stands in, which is what is typed; as a script it is called __main__."""
    code = getattr(command, "__code__", None)
    return Path(code.co_filename if code else sys.argv[0]).stem


def _told_status(
    command: Callable[[Sequence[str]], None], argv: Sequence[str], hint_if_interrupted: str
) -> int:
    begun = time.monotonic()
    try:
        with file_errors_told():
            command(argv)
            if _asked and RUN_ID in os.environ and os.environ.get("HOROVOD_RANK", "0") == "0":
                note_duration(_asked[-1], _name_of(command), time.monotonic() - begun)
    except InputError as error:
        tell("error", f"error: {error}")
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        hint = f": {hint_if_interrupted}" if hint_if_interrupted else ""
        tell("interrupted", f"interrupted{hint}")
        return EXIT_INTERRUPTED
    return 0
