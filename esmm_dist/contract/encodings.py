"""What was learned from data before ids can be given: vocabularies and bucket boundaries.

Immutable and named by its content, so that a model can prove that it reads ids with the meaning
it was trained on. It fits nothing itself; the Spark half does.
"""

import hashlib
import json
from collections.abc import Sequence
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
    """Whether a vocabulary may hold a text; a longer one is always out of vocabulary."""
    return len(text.encode("utf-8", errors="replace")) <= MAX_KEY_BYTES


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
