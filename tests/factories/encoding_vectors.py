"""The published encoding vectors, and the features whose ids they give."""

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from esmm_dist.contract.encoder import Value
from esmm_dist.contract.features import (
    BucketEncoding,
    CategoricalFeature,
    CrossFeature,
    Feature,
    Group,
    HashEncoding,
    Kind,
    MultiValuedFeature,
    NumericFeature,
    VocabularyEncoding,
)

VECTORS = Path(__file__).parents[2] / "docs" / "encoding_vectors.json"


def vectors() -> dict[str, Any]:
    """The published vectors; a value is written as text, whatever its type, or is null."""
    document: dict[str, Any] = json.loads(VECTORS.read_text(encoding="utf-8"))
    return document


def value_of(kind: str, text: str | None) -> Value:
    """A published value."""
    if text is None:
        return None
    read: dict[str, Callable[[str], Value]] = {
        "string": str, "int64": int, "double": float, "boolean": lambda word: word == "true",
    }
    return read[kind](text)


def vector_features(document: Mapping[str, Any]) -> dict[str, NumericFeature | CategoricalFeature]:
    """The encodings of the published vectors, by the key under which a value's ids stand."""
    features: dict[str, NumericFeature | CategoricalFeature] = {
        name: CategoricalFeature(name=name, group=Group.ITEM, encode=HashEncoding(**settings))
        for name, settings in document["hashes"].items()
    }
    features["vocabulary"] = CategoricalFeature(
        name="vocabulary", group=Group.ITEM, encode=VocabularyEncoding(min_count=1)
    )
    features["buckets"] = NumericFeature(
        name="buckets", kind=Kind.NUMERIC, group=Group.ITEM,
        encode=BucketEncoding(boundaries=tuple(document["boundaries"])),
    )
    return features


def cross_features(
    vector: Mapping[str, Any], encode: HashEncoding, boundaries: Sequence[float]
) -> tuple[CrossFeature, list[CategoricalFeature | NumericFeature]]:
    """A published cross, and the features that it is made of."""
    parts: list[CategoricalFeature | NumericFeature] = [
        NumericFeature(name=f"part_{n}", kind=Kind.NUMERIC, group=Group.ITEM,
                       encode=BucketEncoding(boundaries=tuple(boundaries)))
        if part.get("kind") == "buckets"
        else CategoricalFeature(name=f"part_{n}", group=Group.ITEM, encode=encode)
        for n, part in enumerate(vector["values"])
    ]
    names = tuple(part.name for part in parts)
    return CrossFeature(name="cross", kind=Kind.CROSS, of=names, encode=encode), parts


def list_feature(of_values: Feature, max_length: int) -> MultiValuedFeature:
    """The feature of lists whose values are encoded as those of another feature are."""
    assert not isinstance(of_values, NumericFeature)
    return MultiValuedFeature(
        name=of_values.name, kind=Kind.MULTI_VALUED, group=Group.ITEM, encode=of_values.encode,
        table=of_values.table, max_length=max_length,
    )


def packed(ids: Sequence[int]) -> bytes:
    """Ids as samples hold them: little-endian int32, one after the other."""
    return struct.pack(f"<{len(ids)}i", *ids)
