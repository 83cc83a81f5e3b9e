"""Puts a trained and evaluated run into service as a bundle, and takes it out again.

    python -m esmm_dist.publish                    the run as a bundle, which becomes `current`
    python -m esmm_dist.publish --as trial         the same, but only the alias `trial` means it
    python -m esmm_dist.publish --rollback         `previous` becomes `current` again
    python -m esmm_dist.publish --alias NAME=BUNDLE
    python -m esmm_dist.publish --list
    python -m esmm_dist.publish --prune 5          removes what no alias means, but the 5 latest
    python -m esmm_dist.publish --diff previous current

Where the config declares a gate, only a run that esmm_dist.gate has accepted becomes `current`;
--rollback and --alias are a person's word, and ask no gate.
A bundle is named by another alias, by its name or the first letters of it, or by its folder. Each
command may be repeated: what is done already is not done again.
"""

import sys
from argparse import ArgumentTypeError
from collections.abc import Sequence
from datetime import date

from esmm_dist.bundling import make_bundle
from esmm_dist.contract.bundle import CURRENT, PREVIOUS, WITHDRAWN, check_alias
from esmm_dist.contract.command_line import config_parser, run_command
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.telling import tell
from esmm_dist.evaluation.figures import figure, signed
from esmm_dist.gating.verdict import VERDICT, Verdict
from esmm_dist.serving.aliases import BundleOfAlias, in_service, pointed, rolled_back
from esmm_dist.serving.bundle import Bundle
from esmm_dist.serving.difference import Difference, difference, metrics_of
from esmm_dist.serving.store import BundleStore, store_of
from esmm_dist.training.trained_run import (
    TrainedRun,
    add_run_flag,
    config_asked_for,
    run_asked_for,
)

LISTED_METRICS = ("ctr_auc", "cvr_auc_click", "ctcvr_auc", "ctcvr_pcoc")


def main(argv: Sequence[str]) -> None:
    """Parses the flags and does the one thing they ask for."""
    parser = config_parser(__doc__)
    add_run_flag(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--as", dest="alias_of_run", metavar="ALIAS",
                      help=f"give the run's bundle this alias, and leave `{CURRENT}` alone")
    what.add_argument("--alias", metavar="NAME=BUNDLE", help="let an alias mean a bundle")
    what.add_argument("--rollback", action="store_true", help="go back to the bundle before")
    what.add_argument("--list", action="store_true", help="show all bundles and their aliases")
    what.add_argument("--prune", type=_count, metavar="N",
                      help="remove bundles that no alias means, but the N latest")
    what.add_argument("--diff", nargs=2, metavar="BUNDLE", help="show what tells two bundles apart")
    arguments = parser.parse_args(argv)
    store = store_of(config_asked_for(arguments))
    if arguments.list:
        _print_list(store)
    elif arguments.diff:
        before, after = (store.open(reference) for reference in arguments.diff)
        _print_difference(before, after, difference(before, after))
    elif arguments.prune is not None:
        print("\n".join(name[:12] for name in store.prune(arguments.prune)) or "nothing to remove")
    elif arguments.rollback:
        roll_back(store)
    elif arguments.alias:
        _point(store, arguments.alias)
    else:
        alias = _to_be_given(arguments.alias_of_run or CURRENT)
        publish(run_asked_for(arguments), store, alias)


def _count(text: str) -> int:
    """A number of bundles.

    Raises:
        ArgumentTypeError: it is none.
    """
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is no number of bundles: give 0, 1, …")
    return int(text)


def publish(run: TrainedRun, store: BundleStore, alias: str = CURRENT) -> Bundle:
    """Makes the run's bundle and lets an alias mean it.

    Raises:
        InputError: the run is not fit to be published, or the config declares a gate that has not
            let it pass; the aliases are then as they were.
    """
    bundle = make_bundle(run, store)

    def change(aliases: BundleOfAlias) -> BundleOfAlias:
        if alias != CURRENT:
            return pointed(aliases, alias, bundle.name)
        current, gate = aliases.get(CURRENT), run.config.gate
        if gate is not None and current != bundle.name:
            Verdict.read(run.path).demand(bundle.name, current, gate, run.path / VERDICT)
        return in_service(aliases, bundle.name)

    store.aliases.switch(change)
    _tell(store, alias, bundle.name)
    return bundle


def roll_back(store: BundleStore) -> None:
    """Puts the bundle before the current one back into service.

    Raises:
        InputError: there is none, or it is not whole; the aliases are then as they were.
    """
    def change(aliases: BundleOfAlias) -> BundleOfAlias:
        after = rolled_back(aliases)
        if after != aliases:
            store.open(after[CURRENT])
        return after

    _tell(store, CURRENT, store.aliases.switch(change)[CURRENT])


def _point(store: BundleStore, assignment: str) -> None:
    alias, separator, reference = assignment.partition("=")
    if not separator or not reference:
        raise InputError(f"--alias {assignment}: write it as NAME=BUNDLE")
    _to_be_given(alias)
    bundle = store.open(reference)
    if bundle.name not in store.names():
        raise InputError(f"{reference}: it does not lie in {store.path}: aliases mean what does")
    store.aliases.switch(lambda aliases: pointed(aliases, alias, bundle.name))
    _tell(store, alias, bundle.name)


def _to_be_given(alias: str) -> str:
    """An alias that may be given by hand; the others say what a rollback goes back to."""
    if alias in (PREVIOUS, WITHDRAWN):
        raise InputError(f"the alias {alias!r} is given by publishing and by --rollback alone: "
                         "choose another one")
    return check_alias(alias)


def _tell(store: BundleStore, alias: str, name: str) -> None:
    tell("alias", f"{alias} is {name[:12]}", alias=alias, bundle=name)
    print(store.path / name)


# ---------------------------------------------------------------------------------------------
# Showing
# ---------------------------------------------------------------------------------------------


def _print_list(store: BundleStore) -> None:
    """A line a bundle, the latest first, whole however narrow the terminal; then those that an
    alias means and that are not there, or that cannot be read.

    Raises:
        InputError: there are such; all lines have been printed.
    """
    of_alias = store.aliases.of_alias()
    rows: list[tuple[str, ...]] = [("bundle", "aliases", "run", "learned from", *LISTED_METRICS)]
    readable: list[tuple[date, tuple[str, ...]]] = []
    damaged: list[tuple[InputError, tuple[str, ...]]] = []
    for name in sorted({*store.names(), *of_alias.values()}, reverse=True):
        aliases = ",".join(alias for alias, meant in of_alias.items() if meant == name) or "-"
        try:
            bundle = Bundle.glance(store.path / name)
            days, metrics = bundle.index.train_days, metrics_of(bundle)
        except InputError as error:
            damaged.append((error, (name[:12], aliases, "damaged", *["–"] * (len(rows[0]) - 3))))
            continue
        readable.append((days.last, (
            name[:12], aliases, bundle.index.run, f"{days.first}:{days.last}",
            *[figure(metrics.get(metric), metric) for metric in LISTED_METRICS],
        )))
    readable.sort(key=lambda of_bundle: of_bundle[0], reverse=True)
    rows += [row for _, row in [*readable, *damaged]]
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    if damaged:
        raise damaged[0][0]


def _print_difference(before: Bundle, after: Bundle, found: Difference) -> None:
    print(f"{before.name[:12]} ({before.index.run}) -> {after.name[:12]} ({after.index.run})")
    for key, (old, new) in found.config.items():
        print(f"  {key}: {old!r} -> {new!r}")
    print(f"encodings: {found.relation}")
    for table, (num_old, num_new, num_gone) in found.vocabularies.items():
        gone = f", {num_gone:,} gone" if num_gone else ""
        print(f"  vocabulary {table}: {num_old:,} -> {num_new:,} keys{gone}")
    print("metrics" if found.same_test_days else
          "metrics, of different test days: no comparison of the models")
    for name, (one, other) in found.metrics.items():
        gap = "" if one is None or other is None else f" ({signed(other - one, name)})"
        print(f"  {name}: {figure(one, name)} -> {figure(other, name)}{gap}")


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
