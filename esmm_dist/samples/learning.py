"""Which encodings a build goes by: those of its directory, learned anew, or learned and appended.

It counts no value (`fitting` does) and builds no day.
"""

import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from esmm_dist.contract.encodings import Encodings
from esmm_dist.contract.features import Feature, VocabularyEncoding, is_learned
from esmm_dist.contract.manifest import EncodingsReference, Lesson
from esmm_dist.contract.sections import Config
from esmm_dist.samples.horizon import has_grown_since, lesson_in_force
from esmm_dist.samples.io import Store, now

Learn = Callable[[Sequence[Feature]], Encodings]


class InForce(NamedTuple):
    """What a build encodes by: the encodings as they were at samples.as_of."""

    reference: EncodingsReference
    """Where they lie, with all that was appended since."""
    encodings: Encodings
    content_hash: str

    @classmethod
    def at_as_of(
        cls, store: Store, reference: EncodingsReference, config: Config
    ) -> "InForce":
        """The beginning of the encodings that had been learned by then.

        Raises:
            InputError: nobody knew them then, or the file is not what its name says.
        """
        encodings, lesson = store.encodings(reference), lesson_in_force(reference, config)
        if lesson is None or lesson.content_hash == reference.content_hash:
            return cls(reference, encodings, reference.content_hash)
        begun = encodings.beginning(lesson.num_keys)
        assert begun.content_hash == lesson.content_hash, (reference.path, lesson)
        print(
            f"ids are those that were learned as of {lesson.learned_as_of.isoformat()}: keys "
            "appended since were not known then", file=sys.stderr,
        )
        return cls(reference, begun, lesson.content_hash)


def encodings_to_use(
    store: Store, known: EncodingsReference | None, appends: bool, config: Config, learn: Learn
) -> EncodingsReference:
    """Those known, or new ones, which are saved.

    Args:
        known: of the days that the directory holds; None to start anew.
        appends: whether keys that are frequent now get ids after those of the keys known. Bucket
            boundaries stay: moved ones would change what every id of their feature means.
        learn: what the fit days teach about some features.
    """
    features = config.features
    if known is None:
        first = learn(features)
        return _learned(store.save(first), first, config)
    if not appends:
        return known
    if has_grown_since(known, config):
        print(
            f"note: keys were appended already as of {known.learned_as_of}: none are as of an "
            "earlier instant", file=sys.stderr,
        )
        return known
    before = store.encodings(known)
    with_keys = [feature for feature in features if isinstance(feature.encode, VocabularyEncoding)]
    after = before.appended(learn(with_keys))
    for table, keys in before.vocabularies.items():
        num_new = len(after.vocabularies[table]) - len(keys)
        print(f"vocabulary {table}: {len(keys):,} keys and {num_new:,} new", file=sys.stderr)
    reference = known if after is before else store.save(after)
    return _learned(reference, after, config, known.lessons)


def _learned(
    reference: EncodingsReference, encodings: Encodings, config: Config,
    before: Sequence[Lesson] = (),
) -> EncodingsReference:
    """The same, with what it was learned from, if any feature is learned at all."""
    if not any(map(is_learned, config.features)):
        return reference
    lesson = Lesson(
        content_hash=reference.content_hash,
        num_keys={table: len(keys) for table, keys in encodings.vocabularies.items()},
        fit_days=config.samples.fit_days, learned_as_of=config.samples.as_of or now(),
    )
    return reference.model_copy(update={
        "fit_days": lesson.fit_days, "learned_as_of": lesson.learned_as_of,
        "lessons": (*before, lesson),
    })
