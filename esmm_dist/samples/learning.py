"""Which encodings a build goes by: those of its directory, learned anew, or learned and appended.

It counts no value (`fitting` does) and builds no day.
"""

import sys
from collections.abc import Callable, Sequence

from esmm_dist.contract.encodings import Encodings
from esmm_dist.contract.features import Feature, VocabularyEncoding, is_learned
from esmm_dist.contract.manifest import EncodingsReference
from esmm_dist.contract.sections import Config
from esmm_dist.samples.io import Store, now

Learn = Callable[[Sequence[Feature]], Encodings]


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
        return _learned(store.save(learn(features)), config)
    if not appends:
        return known
    before = store.encodings(known)
    with_keys = [feature for feature in features if isinstance(feature.encode, VocabularyEncoding)]
    after = before.appended(learn(with_keys))
    for table, keys in before.vocabularies.items():
        num_new = len(after.vocabularies[table]) - len(keys)
        print(f"vocabulary {table}: {len(keys):,} keys and {num_new:,} new", file=sys.stderr)
    return _learned(known if after is before else store.save(after), config)


def _learned(reference: EncodingsReference, config: Config) -> EncodingsReference:
    """The same, with what it was learned from, if any feature is learned at all."""
    if not any(map(is_learned, config.features)):
        return reference
    return reference.model_copy(update={
        "fit_days": config.samples.fit_days, "learned_as_of": config.samples.as_of or now(),
    })
