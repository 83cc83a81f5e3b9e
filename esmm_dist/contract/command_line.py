"""The flags that every command shares, and how a command ends when its input is bad."""

import argparse
import sys
from collections.abc import Callable, Sequence

from esmm_dist.contract.config import DEFAULT_CONFIG_PATH, load_config
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.sections import Config

EXIT_BAD_INPUT = 2


def config_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with --config and --set; a command adds what it alone needs."""
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    parser.add_argument("--config", default=DEFAULT_CONFIG_PATH, metavar="FILE",
                        help="the experiment's YAML file (default: %(default)s)")
    parser.add_argument("--set", dest="overrides", action="append", default=[],
                        metavar="KEY=VALUE", help="override a value, as in train.batch_size=8192")
    return parser


def config_from(arguments: argparse.Namespace) -> Config:
    """The config that parsed flags ask for."""
    return load_config(arguments.config, arguments.overrides)


def run_command(command: Callable[[Sequence[str]], None], argv: Sequence[str]) -> int:
    """Runs a command; bad input becomes one line on stderr and the exit status 2."""
    try:
        command(argv)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    return 0
