"""Online encoding: raw features of a request to the ids that the model takes, without Spark.

It is the encoder of `contract`, with the encodings that the model was trained with: the same value
gives the same id as in the samples, also where it is written otherwise than in the log
(`contract.value_kinds`). It knows no model and no file.

Shape legend: B requests; L ids of a row, as `contract.exported` says.
"""

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esmm_dist.contract.encoder import (
    Value,
    cross_encoder,
    encode_values,
    encoder_of,
    weights_of_values,
)
from esmm_dist.contract.encodings import Encodings
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.exported import inputs_of
from esmm_dist.contract.features import (
    CrossFeature,
    Feature,
    MultiValuedFeature,
    parts_of,
    weights_column,
)
from esmm_dist.contract.value_kinds import ValueKind, as_logged
from esmm_dist.serving.inputs import Row, of_rows

Request = Mapping[str, Any]
"""Raw values by the name of their feature, those of weights by the name of their column; None is a
null. Other keys are not looked at."""

Encode = Callable[[Request], Row]


class RequestEncoder:
    """Encodes requests of one declaration of features."""

    def __init__(
        self, features: Sequence[Feature], encodings: Encodings,
        kinds: Mapping[str, ValueKind] = MappingProxyType({}),
    ) -> None:
        """
        Args:
            kinds: by feature, how the values that the model learned from were logged; values of
                others are taken as they are written.
        """
        self.inputs = inputs_of(features)
        self._encode_of_input = {
            name: encode
            for feature in features
            for name, encode in _encoders(feature, features, encodings, kinds).items()
        }

    def encode(self, requests: Iterable[Request]) -> dict[str, NDArray[Any]]:
        """The model's inputs for some requests, each (B, L).

        Raises:
            InputError: a request lacks a feature, or holds a value that no log could; names the
                place of the request, the feature and the value.
        """
        rows = list(requests)  # each input looks at all of them, an iterator gives them once
        return {
            one.name: of_rows(one, [self._row(one.name, request, place)
                                    for place, request in enumerate(rows)])
            for one in self.inputs
        }

    def ids(self, request: Request) -> dict[str, tuple[int | float, ...]]:
        """The ids, and weights, of one request by the model's inputs.

        Raises:
            InputError: as `encode`.
        """
        return {one.name: tuple(self._row(one.name, request, 0)) for one in self.inputs}

    def _row(self, name: str, request: Request, place: int) -> Row:
        try:
            return self._encode_of_input[name](request)
        except _Lacking as lack:
            raise InputError(
                f"request {place}: it has no {lack.name!r}: give its value, or null where it is "
                "not known"
            ) from None
        except _Unfit as unfit:
            raise InputError(f"request {place}: {unfit.name!r}: {unfit.reason}") from None


class _Lacking(Exception):
    def __init__(self, name: str) -> None:
        self.name = name


class _Unfit(Exception):
    def __init__(self, name: str, reason: str) -> None:
        self.name, self.reason = name, reason


def _encoders(
    feature: Feature, features: Sequence[Feature], encodings: Encodings,
    kinds: Mapping[str, ValueKind],
) -> dict[str, Encode]:
    """How a request becomes each input of a feature."""
    name, kind = feature.name, kinds.get(feature.name)
    if isinstance(feature, CrossFeature):
        names = [part.name for part in parts_of(feature, features)]
        cross = cross_encoder(feature, features, encodings)
        return {name: lambda request: (
            _fitting(name, cross, [
                _fitting(part, lambda value: as_logged(value, kinds.get(part)),
                         _value(request, part))
                for part in names
            ]),
        )}
    of_logged = encoder_of(feature, encodings)

    def encode(value: Value) -> int:
        return of_logged(as_logged(value, kind))

    if not isinstance(feature, MultiValuedFeature):
        return {name: lambda request: (_fitting(name, encode, _value(request, name)),)}
    encoders: dict[str, Encode] = {
        name: lambda request: _fitting(
            name, lambda values: encode_values(feature, encode, values), _list(request, name)
        )
    }
    column = feature.weights
    if column is not None:
        encoders[weights_column(feature)] = lambda request: _fitting(
            column, lambda weights: weights_of_values(feature, _list(request, name), weights),
            _weights(request, column),
        )
    return encoders


def _value(request: Request, name: str) -> Any:
    try:
        value = request[name]
    except KeyError:
        raise _Lacking(name) from None
    except TypeError:
        raise _Unfit(
            name, f"{type(request).__name__} is no dict of raw values: give a list of such dicts"
        ) from None
    # NumPy's numbers are what tables hand out one by one.
    return value.item() if isinstance(value, np.generic) else value


def _list(request: Request, name: str) -> Sequence[Any] | None:
    values = _value(request, name)
    if values is None:
        return None
    if not isinstance(values, (list, tuple)) and np.ndim(values) == 0:
        raise _Unfit(name, f"{values!r} is no list")
    return [value.item() if isinstance(value, np.generic) else value for value in values]


def _weights(request: Request, name: str) -> Sequence[Any] | None:
    weights = _list(request, name)
    stray = next((w for w in weights or () if isinstance(w, str)), None)
    if stray is not None:
        raise _Unfit(name, f"the weight {stray!r} is a text, a number is wanted")
    return weights


def _fitting(name: str, encode: Callable[[Any], Any], value: Any) -> Any:
    try:
        return encode(value)
    except (ValueError, TypeError, struct.error) as error:
        raise _Unfit(name, str(error)) from None
