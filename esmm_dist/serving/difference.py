"""What tells two bundles apart: their configs, their figures, and how their vocabularies grew."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from esmm_dist.contract import bundle as form
from esmm_dist.contract.config import flat
from esmm_dist.contract.encodings import Encodings, num_rows_of_table
from esmm_dist.contract.errors import InputError
from esmm_dist.serving.bundle import Bundle


@dataclass(frozen=True)
class Difference:
    """Only what differs; before and after, None where one of them has none."""

    config: Mapping[str, tuple[Any, Any]]
    """By dotted key."""
    metrics: Mapping[str, tuple[float | None, float | None]]
    """By name, each as its own evaluation found it: on other rows, unless their test days agree."""
    vocabularies: Mapping[str, tuple[int, int, int]]
    """By table: keys before, keys after, and how many before are no longer there."""
    rows_of_table: Mapping[str, tuple[int | None, int | None]]
    """Rows of the embedding tables."""
    relation: str
    """How the encodings of one descend from those of the other."""
    same_test_days: bool


def difference(before: Bundle, after: Bundle) -> Difference:
    """What `after` has otherwise than `before`."""
    return Difference(
        config=_changed(_config_of(before), _config_of(after)),
        metrics=_changed(metrics_of(before), metrics_of(after)),
        vocabularies=dict(_vocabularies(before.encodings, after.encodings)),
        rows_of_table=_changed(*(
            num_rows_of_table(b.config.features, b.encodings) for b in (before, after)
        )),
        relation=_relation(before.encodings, after.encodings),
        same_test_days=before.index.test_days == after.index.test_days,
    )


def metrics_of(bundle: Bundle) -> dict[str, float | None]:
    """The pooled figures that the run's evaluation found, by name.

    Raises:
        InputError: of a bundle that has only been glanced at, they are missing or damaged.
    """
    text = bundle.text(form.METRICS)
    try:
        estimates = json.loads(text)["pooled"]["model"]
        return {name: estimate.get("value") for name, estimate in estimates.items()}
    except (ValueError, LookupError, TypeError, AttributeError):
        raise InputError(
            f"{bundle.path / form.METRICS}: the file is damaged: publish the run again"
        ) from None


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {
        key: (before.get(key), after.get(key)) for key in dict.fromkeys([*before, *after])
        if before.get(key) != after.get(key)
    }


def _config_of(bundle: Bundle) -> dict[str, Any]:
    return flat(bundle.config.model_dump(mode="json"))


def _vocabularies(
    before: Encodings, after: Encodings
) -> Iterator[tuple[str, tuple[int, int, int]]]:
    for table in dict.fromkeys([*before.vocabularies, *after.vocabularies]):
        old, new = (e.vocabularies.get(table, ()) for e in (before, after))
        if old != new:
            yield table, (len(old), len(new), len(set(old) - set(new)))


def _relation(before: Encodings, after: Encodings) -> str:
    if before.content_hash == after.content_hash:
        return "the same encodings"
    if before.content_hash in after.ancestry:
        return "appended: every id of the first means the same in the second"
    if after.content_hash in before.ancestry:
        return "the first appended to the second"
    return "learned apart: ids do not mean the same"
