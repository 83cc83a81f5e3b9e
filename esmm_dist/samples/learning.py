"""Which encodings a build goes by: those of its directory, learned anew, or learned and appended.

It counts no value (`fitting` does) and builds no day.
"""

import sys
from collections.abc import Callable, Sequence

from esmm_dist.contract.encodings import Encodings
from esmm_dist.contract.features import Feature, VocabularyEncoding
from esmm_dist.contract.manifest import EncodingsReference
from esmm_dist.samples.io import Store

Learn = Callable[[Sequence[Feature]], Encodings]


def encodings_to_use(
    store: Store, known: EncodingsReference | None, appends: bool, features: Sequence[Feature],
    learn: Learn,
) -> EncodingsReference:
    """Those known, or new ones, which are saved.

    Args:
        known: of the days that the directory holds; None to start anew.
        appends: whether keys that are frequent now get ids after those of the keys known. Bucket
            boundaries stay: moved ones would change what every id of their feature means.
        learn: what the fit days teach about some features.
    """
    if known is None:
        return store.save(learn(features))
    if not appends:
        return known
    before = store.encodings(known)
    with_keys = [feature for feature in features if isinstance(feature.encode, VocabularyEncoding)]
    after = before.appended(learn(with_keys))
    for table, keys in before.vocabularies.items():
        num_new = len(after.vocabularies[table]) - len(keys)
        print(f"vocabulary {table}: {len(keys):,} keys and {num_new:,} new", file=sys.stderr)
    return known if after is before else store.save(after)
