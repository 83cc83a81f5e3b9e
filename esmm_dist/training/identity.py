"""What a checkpoint was trained as: features, the meaning of ids, and networks."""

from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from esmm_dist.contract.errors import InputError


class Identity(BaseModel):
    """What a checkpoint was trained as; whoever loads it must agree."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fingerprint: str
    """Of the feature declaration."""
    encodings: str
    """Content hash of vocabularies and boundaries."""
    model: str
    """Digest of the config's model section and precision, and of the features' groups."""
    ancestry: tuple[str, ...] = ()
    """Content hashes of the encodings that these appended to: their ids mean the same."""

    def check(
        self, expected: "Identity", source: Path,
        how_ids_differ: Callable[[str], str] = lambda content_hash: "",
    ) -> None:
        """Refuses a checkpoint that is something else; encodings may have been appended to since.

        Args:
            how_ids_differ: tells, if anybody can, where the encodings of a hash differ from those
                expected.

        Raises:
            InputError: names the part that differs.
        """
        if self.encodings in expected.ancestry:
            expected = expected.model_copy(update={"encodings": self.encodings})
        for part in ("fingerprint", "encodings", "model"):
            found, wanted = getattr(self, part), getattr(expected, part)
            if found != wanted:
                told = how_ids_differ(found) if part == "encodings" else ""
                raise InputError(
                    f"{source}: its {part} is {found[:12]}, the config's is {wanted[:12]}"
                    f"{told and f' ({told})'}: give the config it was trained with, or train again"
                )
