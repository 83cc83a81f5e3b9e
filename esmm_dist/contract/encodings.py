"""What was learned from data before ids can be given: vocabularies and bucket boundaries.

Immutable and named by its content, so that a model can prove that it reads ids with the meaning
it was trained on. It fits nothing itself; the Spark half does.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.features import (
    MAX_TABLE_ROWS,
    BucketEncoding,
    Feature,
    HashEncoding,
    VocabularyEncoding,
    table_of,
)
from esmm_dist.contract.mistakes import one_line

NULL_ID = 0
OUT_OF_VOCABULARY_ID = 1
FIRST_VOCABULARY_ID = 2
# Of a key in UTF-8. A vocabulary may travel as JSON with its keys as names, and Spark's reader of
# JSON gives null, without an error, for a table with a name of more than 50,000 characters.
MAX_KEY_BYTES = 10_000
MAX_SHOWN = 40


class Encodings(BaseModel):
    """Vocabularies by table and boundaries by feature, with the hashes of their ancestors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    vocabularies: dict[str, tuple[str, ...]] = {}
    """Keys in the order of their ids, by table: vocabularies[table][i] has the id 2 + i."""
    boundaries: dict[str, tuple[float, ...]] = {}
    """Strictly increasing bucket boundaries by feature."""
    ancestry: tuple[str, ...] = ()
    """Content hashes of the encodings that this one appended to, oldest first."""

    @property
    def content_hash(self) -> str:
        """The identity of what ids mean, whatever the ancestry."""
        learned = {
            "vocabularies": self.vocabularies,
            "boundaries": {name: [b.hex() for b in bs] for name, bs in self.boundaries.items()},
        }
        text = json.dumps(learned, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def lineage(self) -> tuple[str, ...]:
        """Its ancestors' hashes and, last, its own."""
        return (*self.ancestry, self.content_hash)

    def appended(self, learned: "Encodings") -> "Encodings":
        """These and, after their keys, those that `learned` has beside them, in its order.

        No id changes its meaning, and boundaries stay. These themselves if there is no such key.
        """
        grown = {}
        for table, keys in self.vocabularies.items():
            known = set(keys)
            new = (key for key in learned.vocabularies.get(table, ()) if key not in known)
            grown[table] = (*keys, *new)
        if grown == self.vocabularies:
            return self
        return Encodings(vocabularies=grown, boundaries=self.boundaries, ancestry=self.lineage)

    def beginning(self, num_keys: Mapping[str, int]) -> "Encodings":
        """What these were when they had so many keys, by table: ids only ever append."""
        begun = {table: keys[: num_keys[table]] for table, keys in self.vocabularies.items()}
        return Encodings(vocabularies=begun, boundaries=self.boundaries)

    @classmethod
    def parse(cls, text: str, source: str) -> Self:
        """Reads what `model_dump_json` wrote.

        Raises:
            InputError: the text is no encodings document; `source` names the file.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            reason = one_line(error, None, cls)
            raise InputError(
                f"{source}: no readable encodings ({reason}): rebuild the samples"
            ) from None


def can_be_key(text: str) -> bool:
    """Whether a vocabulary may hold a text: an empty one is null, and one that is longer than
    MAX_KEY_BYTES always out of vocabulary."""
    return 0 < len(text.encode("utf-8", errors="replace")) <= MAX_KEY_BYTES


def differences(one: Encodings, other: Encodings) -> list[str]:
    """Where ids of the one mean something else in the other, one text a table or feature."""
    found = []
    for table in sorted({*one.vocabularies, *other.vocabularies}):
        keys, others = (e.vocabularies.get(table) for e in (one, other))
        if keys is None or others is None:
            found.append(f"the vocabulary {table} is in one of them alone")
        elif keys != others:
            found.append(f"the vocabulary {table} has {_first_difference(keys, others)}")
    for feature in sorted({*one.boundaries, *other.boundaries}):
        cuts, other_cuts = (e.boundaries.get(feature, ()) for e in (one, other))
        if cuts != other_cuts:
            found.append(
                f"the boundaries of {feature} have {_first_difference(cuts, other_cuts)}"
            )
    return found


def _first_difference(one: Sequence[object], other: Sequence[object]) -> str:
    place = next((i for i, (a, b) in enumerate(zip(one, other)) if a != b), None)
    if place is None:
        return f"{len(one):,} entries in the one and {len(other):,} in the other"
    return (
        f"as entry {place + 1:,} of {len(one):,} {_short(one[place])} in the one, and of "
        f"{len(other):,} {_short(other[place])} in the other"
    )


def _short(entry: object) -> str:
    text = repr(entry)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def boundaries_of(feature: Feature, encodings: Encodings) -> tuple[float, ...]:
    """The boundaries a numeric feature is cut by, declared or fitted."""
    assert isinstance(feature.encode, BucketEncoding)
    if feature.encode.boundaries is not None:
        return feature.encode.boundaries
    return encodings.boundaries[feature.name]


def num_rows_of_feature(feature: Feature, encodings: Encodings) -> int:
    """Rows that a feature's table needs: one more than the largest id it can give."""
    match feature.encode:
        case HashEncoding(hash_size=size):
            return size
        case VocabularyEncoding():
            return FIRST_VOCABULARY_ID + len(encodings.vocabularies[table_of(feature)])
        case BucketEncoding():
            return 2 + len(boundaries_of(feature, encodings))
    raise AssertionError(feature.encode)


def num_rows_of_table(features: Sequence[Feature], encodings: Encodings) -> dict[str, int]:
    """Rows by table, in the order in which the features first name the tables.

    Raises:
        InputError: a table whose ids would not fit int32.
    """
    sizes: dict[str, int] = {}
    for feature in features:
        table = table_of(feature)
        sizes[table] = max(sizes.get(table, 0), num_rows_of_feature(feature, encodings))
        if sizes[table] > MAX_TABLE_ROWS:
            raise InputError(f"table {table!r}: {sizes[table]:,} rows do not fit int32 ids")
    return sizes
