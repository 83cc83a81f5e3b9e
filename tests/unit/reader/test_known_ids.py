"""Ids that were appended later are out of vocabulary to whoever does not know them."""

from dataclasses import replace

import torch

from esmm_dist.contract.batch import Bag
from esmm_dist.contract.encodings import Encodings
from esmm_dist.contract.features import (
    CategoricalFeature,
    Feature,
    Group,
    HashEncoding,
    Kind,
    MultiValuedFeature,
    VocabularyEncoding,
)
from esmm_dist.reader.known_ids import as_known_to
from tests.unit.reader.test_listed_rows import a_batch

LEARNED, HASHED = VocabularyEncoding(min_count=1), HashEncoding(hash_size=1000)
FEATURES: tuple[Feature, ...] = (
    CategoricalFeature(name="user", group=Group.USER, encode=LEARNED, table="shared"),
    MultiValuedFeature(name="tags", kind=Kind.MULTI_VALUED, group=Group.ITEM, encode=LEARNED,
                       table="shared"),
    CategoricalFeature(name="item", group=Group.ITEM, encode=HASHED),
)
ENCODINGS = Encodings(vocabularies={"shared": ("a", "b")})  # ids 2 and 3


def test_only_learned_ids_beyond_the_known_become_unknown() -> None:
    ids = torch.tensor([0, 3, 4, 9], dtype=torch.int32)
    batch = replace(
        a_batch(), ids_BF=torch.stack([ids, ids + 100], dim=1),
        bags=(Bag(ids, torch.tensor([0, 2, 2, 3, 4])),),
    )
    known = as_known_to(batch, FEATURES, ENCODINGS)
    assert known.ids_BF[:, 0].tolist() == [0, 3, 1, 1]
    assert known.ids_BF[:, 1].tolist() == [100, 103, 104, 109], "a hash knows every value"
    assert known.bags[0].ids_V.tolist() == [0, 3, 1, 1]
    assert known.ids_BF.dtype == known.bags[0].ids_V.dtype == torch.int32
    assert batch.ids_BF[:, 0].tolist() == [0, 3, 4, 9], "the batch given stays"
