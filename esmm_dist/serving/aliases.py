"""Which bundle serves: aliases that are switched all at once, or not at all.

A switch writes the next number, created only if absent: of two at once the second sees the first
and decides anew. A kill leaves the aliases as they were before or after; a document that was
changed since is refused by its checksum. It opens no bundle.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from esmm_dist.contract.bundle import CURRENT, PREVIOUS, WITHDRAWN, Aliases
from esmm_dist.contract.errors import InputError
from esmm_dist.storage.files import create

BundleOfAlias = Mapping[str, str]

# No text that was cut short ends so.
END = b"\n}\n"


class AliasBook:
    """The numbered documents of one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self) -> Aliases | None:
        """The aliases as the last whole switch left them; None before the first.

        Raises:
            InputError: they are damaged, or of another version: those before do not stand in for
                them, for another model served then.
        """
        for number in self._numbers():
            path = self._path(number)
            written = path.read_bytes()
            if not written.endswith(END):
                continue  # its writer was killed: it has never switched anything
            try:
                aliases = Aliases.model_validate_json(written)
            except ValidationError:
                aliases = None
            if aliases is None or aliases.sha256 not in (None, aliases.digest):
                raise InputError(
                    f"{path}: damaged, or of another version: remove it, and say what is to serve: "
                    f"esmm_dist.publish --alias {CURRENT}=BUNDLE"
                )
            return aliases
        return None

    def of_alias(self) -> dict[str, str]:
        """Every alias and the name of its bundle."""
        aliases = self.read()
        return dict(aliases.bundle_of_alias) if aliases else {}

    def switch(self, change: Callable[[BundleOfAlias], BundleOfAlias]) -> dict[str, str]:
        """Puts what `change` makes of the aliases in their place.

        Args:
            change: called again where another switch came first; what it raises ends this one.

        Returns:
            The aliases as they are then; no switch is written where nothing changes.
        """
        while True:
            before = self.of_alias()
            after = dict(change(before))
            if after == before:
                return after
            number = 1 + max(self._numbers(), default=0)
            now = datetime.now(UTC).replace(microsecond=0)
            aliases = Aliases(number=number, switched_at=now, bundle_of_alias=after)
            text = aliases.model_copy(update={"sha256": aliases.digest}).model_dump_json(indent=1)
            # Whoever wrote a number between the two looks is seen in the next round.
            if before == self.of_alias() and create(self._path(number), text + "\n"):
                return after

    def _numbers(self) -> list[int]:
        """Highest first."""
        folder = self._folder
        names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        stems = [name.removesuffix(".json") for name in names if name.endswith(".json")]
        return sorted((int(stem) for stem in stems if stem.isdecimal()), reverse=True)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:08d}.json"


def in_service(aliases: BundleOfAlias, bundle: str) -> BundleOfAlias:
    """The bundle becomes `current`, what was current `previous`; nothing changes if it is already.

    Raises:
        InputError: it was taken out of service by a rollback.
    """
    current = aliases.get(CURRENT)
    if current == bundle:
        return aliases
    if aliases.get(WITHDRAWN) == bundle:
        raise InputError(
            f"the bundle {bundle[:12]} was taken out of service by a rollback: train another, or "
            f"put it back by hand with --alias {CURRENT}={bundle[:12]}"
        )
    others = {alias: name for alias, name in aliases.items() if alias not in (PREVIOUS, WITHDRAWN)}
    return others | {CURRENT: bundle} | ({PREVIOUS: current} if current else {})


def rolled_back(aliases: BundleOfAlias) -> BundleOfAlias:
    """`previous` becomes `current`, and what was current `withdrawn`; nothing changes the second
    time, so that a repeated rollback does not undo the first.

    Raises:
        InputError: there is nothing to go back to, or from.
    """
    previous = aliases.get(PREVIOUS)
    if CURRENT not in aliases:
        raise InputError(f"nothing is in service: name a bundle with --alias {CURRENT}=BUNDLE")
    if previous is None:
        if WITHDRAWN in aliases:
            return aliases
        raise InputError(
            f"there is no {PREVIOUS} bundle to go back to: name one with --alias {CURRENT}=BUNDLE"
        )
    others = {alias: name for alias, name in aliases.items() if alias != PREVIOUS}
    return others | {CURRENT: previous, WITHDRAWN: aliases[CURRENT]}


def pointed(aliases: BundleOfAlias, alias: str, bundle: str) -> BundleOfAlias:
    """The alias means the bundle; of `current`, what it meant before becomes `previous`."""
    if alias != CURRENT:
        return {**aliases, alias: bundle}
    return in_service({a: name for a, name in aliases.items() if a != WITHDRAWN}, bundle)
