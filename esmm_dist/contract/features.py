"""The declaration of features: what each column is, and how its values become ids.

It says nothing about data: learned vocabularies and bucket boundaries live in `encodings`, the
arithmetic from a value to an id in `encoder`.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

# A row number inside one table must fit int32, the type in which samples store it.
MAX_TABLE_ROWS = 2**31 - 1

# What a field is summed with is the model's business, whose identity has it: samples need not be
# built again for it. When a value came to be is the build's, which refuses it or not.
NOT_OF_IDS = {"group", "time"}


class Section(BaseModel):
    """Base of every part of the config: frozen, and an unknown key is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )


class Kind(StrEnum):
    """What a column holds."""

    CATEGORICAL = "categorical"
    MULTI_VALUED = "multi_valued"
    NUMERIC = "numeric"
    CROSS = "cross"


class Group(StrEnum):
    """What a feature describes; `combine: group_sum` sums the fields of one group."""

    USER = "user"
    ITEM = "item"
    CONTEXT = "context"
    CROSS = "cross"


class HashEncoding(Section):
    """A value becomes 1 + (XXH64(value) >> 1) mod (hash_size - 1); id 0 is null."""

    hash_size: Annotated[int, Field(ge=2, le=MAX_TABLE_ROWS)]
    """Rows of the table, the null row included."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Another seed scatters the same values differently."""


class VocabularyEncoding(Section):
    """Values seen often enough get ids of their own; id 0 is null, id 1 any other value."""

    min_count: Annotated[int, Field(ge=1)]
    """Sightings within samples.fit_days below which a value stays out of vocabulary."""


class BucketEncoding(Section):
    """A number becomes the number of its bucket; id 0 is null or NaN."""

    num_quantiles: Annotated[int, Field(ge=2, le=1024)] | None = None
    """Equal-frequency buckets, fitted on samples.fit_days."""
    boundaries: tuple[float, ...] | None = None
    """Fixed boundaries, strictly increasing; bucket i is boundaries[i-1] <= x < boundaries[i]."""

    @model_validator(mode="after")
    def _one_of_both(self) -> "BucketEncoding":
        if (self.num_quantiles is None) == (self.boundaries is None):
            raise ValueError("declare exactly one of num_quantiles and boundaries")
        if self.boundaries is not None:
            pairs = zip(self.boundaries, self.boundaries[1:])
            if not self.boundaries or any(low >= high for low, high in pairs):
                raise ValueError("boundaries must be strictly increasing and not empty")
        return self


def _encoding_meant(value: object) -> str | None:
    """The class of encoding that a mapping's keys come nearest to."""
    if isinstance(value, (HashEncoding, VocabularyEncoding)):
        return type(value).__name__
    keys = [str(key) for key in value] if isinstance(value, dict) else []
    if "hash_size" in keys and "min_count" in keys:
        return None
    for model in (HashEncoding, VocabularyEncoding):
        if any(get_close_matches(key, list(model.model_fields)) for key in keys):
            return model.__name__
    return None


IdEncoding = Annotated[
    Annotated[HashEncoding, Tag("HashEncoding")]
    | Annotated[VocabularyEncoding, Tag("VocabularyEncoding")],
    Discriminator(
        _encoding_meant,
        custom_error_type="encoding",
        custom_error_message="declare only one of hash_size (and seed) and min_count",
    ),
]


class CategoricalFeature(Section):
    """One value a row: text, a whole number or a boolean."""

    name: str
    """Column of the log or the source (after `columns` renamed it), and of the samples."""
    kind: Literal[Kind.CATEGORICAL] = Kind.CATEGORICAL
    group: Group
    encode: IdEncoding
    table: str | None = None
    """Features that name the same table share its rows; they must be encoded alike."""
    source: str | None = None
    """The snapshot that holds the column, as it stood at the impression; none: the impressions."""
    time: str | None = None
    """Column of the impressions log that says when the value came to be. A build that meets a value
    of after its impression is refused."""


class MultiValuedFeature(Section):
    """A list of values a row, looked up one by one and summed, weighted if it has weights."""

    name: str
    kind: Literal[Kind.MULTI_VALUED]
    group: Group
    encode: IdEncoding
    table: str | None = None
    max_length: Annotated[int, Field(ge=1)] = 64
    """Values kept of a row, from the front; the rows cut are counted."""
    weights: str | None = None
    """Column of the impressions log with a number for each value, by which its vector is weighed in
    the sum; a value without a finite one counts 1, and such rows are counted."""
    source: str | None = None
    """The snapshot that holds the column, as it stood at the impression; none: the impressions."""
    time: str | None = None
    """Column of the impressions log that says when the value came to be. A build that meets a value
    of after its impression is refused."""


class NumericFeature(Section):
    """One number a row, cut into buckets."""

    name: str
    kind: Literal[Kind.NUMERIC]
    group: Group
    encode: BucketEncoding
    table: str | None = None
    source: str | None = None
    """The snapshot that holds the column, as it stood at the impression; none: the impressions."""
    time: str | None = None
    """Column of the impressions log that says when the value came to be. A build that meets a value
    of after its impression is refused."""


class CrossFeature(Section):
    """The combination that several features' values make, one id a combination; null if one is."""

    name: str
    """Column of the samples; the log has none of it."""
    kind: Literal[Kind.CROSS]
    group: Group = Group.CROSS
    of: Annotated[tuple[str, ...], Field(min_length=2, max_length=4)]
    """Names of declared features; a numeric one takes part by its bucket. Their order matters."""
    encode: HashEncoding
    table: str | None = None


Feature = Annotated[
    CategoricalFeature | MultiValuedFeature | NumericFeature | CrossFeature,
    Field(discriminator="kind"),
]


def sources_of(features: Iterable[Feature]) -> tuple[str, ...]:
    """The snapshots that features are taken from, in the order in which these name them."""
    return tuple(dict.fromkeys(name for f in features if (name := source_of(f)) is not None))


def time_of(feature: Feature) -> str | None:
    """The column that says when a feature's values came to be, if one is declared."""
    return None if isinstance(feature, CrossFeature) else feature.time


def weights_column(feature: MultiValuedFeature) -> str:
    """The column of the samples that holds the weights of a list's values."""
    return f"{feature.name}_weights"


def columns_of(feature: Feature) -> tuple[str, ...]:
    """The columns of the samples that a feature fills."""
    if isinstance(feature, MultiValuedFeature) and feature.weights is not None:
        return feature.name, weights_column(feature)
    return (feature.name,)


def source_of(feature: Feature) -> str | None:
    """The snapshot that a feature's column lies in; None for the impressions, or for no column."""
    return None if isinstance(feature, CrossFeature) else feature.source


def is_learned(feature: Feature) -> bool:
    """Whether a feature's ids depend on data."""
    match feature.encode:
        case VocabularyEncoding():
            return True
        case BucketEncoding(num_quantiles=num_quantiles):
            return num_quantiles is not None
    return False


def table_of(feature: Feature) -> str:
    """The name of the embedding table a feature looks its ids up in."""
    return feature.table or feature.name


def parts_of(cross: CrossFeature, features: Sequence[Feature]) -> tuple[Feature, ...]:
    """The features that a cross is made of.

    Raises:
        ValueError: one is not declared, holds no single value, or stands there twice.
    """
    by_name = {feature.name: feature for feature in features}
    parts = []
    for name in cross.of:
        if name not in by_name:
            close = get_close_matches(name, list(by_name), n=1)
            hint = f"did you mean {close[0]}?" if close else "declare it as one"
            raise ValueError(
                f"the cross {cross.name!r} is of {name!r}, which is no feature: {hint}"
            )
        part = by_name[name]
        if isinstance(part, (MultiValuedFeature, CrossFeature)):
            raise ValueError(
                f"the cross {cross.name!r} is of {name!r}, which is {part.kind}: only categorical "
                "and numeric features can be crossed"
            )
        parts.append(part)
    if len(set(cross.of)) < len(cross.of):
        raise ValueError(f"the cross {cross.name!r} names a feature twice: {', '.join(cross.of)}")
    return tuple(parts)


def declared(feature: Feature) -> dict[str, Any]:
    """What a feature's ids depend on, as a document."""
    return feature.model_dump(mode="json", exclude=NOT_OF_IDS, exclude_none=True)


def fingerprint(features: Sequence[Feature]) -> str:
    """The identity of a declaration: samples, checkpoints and bundles must agree on it."""
    documents = [declared(feature) for feature in features]
    text = json.dumps(documents, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
