"""Ids as an earlier state of growing vocabularies would have given them.

Shape legend: B rows; F single-valued features; V ids of one multi-valued feature.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from esmm_dist.contract.batch import Batch
from esmm_dist.contract.encodings import OUT_OF_VOCABULARY_ID, Encodings, num_rows_of_feature
from esmm_dist.contract.features import Feature, MultiValuedFeature, VocabularyEncoding


def as_known_to(batch: Batch, features: Sequence[Feature], encodings: Encodings) -> Batch:
    """The batch with every key out of vocabulary that these encodings do not know.

    Args:
        encodings: ancestors of those that gave the ids, or the same.
    """
    singles = [f for f in features if not isinstance(f, MultiValuedFeature)]
    bags = [f for f in features if isinstance(f, MultiValuedFeature)]
    ids_BF = batch.ids_BF.clone()
    for place, feature in enumerate(singles):
        ids_BF[:, place] = _known(ids_BF[:, place], feature, encodings)
    return replace(batch, ids_BF=ids_BF, bags=tuple(
        replace(bag, ids_V=_known(bag.ids_V, feature, encodings))
        for feature, bag in zip(bags, batch.bags, strict=True)
    ))


def _known(ids_N: Tensor, feature: Feature, encodings: Encodings) -> Tensor:
    if not isinstance(feature.encode, VocabularyEncoding):
        return ids_N
    num_rows = num_rows_of_feature(feature, encodings)
    return torch.where(ids_N < num_rows, ids_N, OUT_OF_VOCABULARY_ID)
