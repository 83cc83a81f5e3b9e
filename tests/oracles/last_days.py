"""The last day on which each id was seen, by looking at every id of every row."""

from collections.abc import Iterable, Sequence

from esmm_dist.contract.batch import Batch
from esmm_dist.contract.features import Feature, MultiValuedFeature, table_of

LastDays = dict[tuple[str, int], int]
"""By table and id."""


def last_days(features: Sequence[Feature], batches: Iterable[Batch]) -> LastDays:
    """Of all ids that some batch holds."""
    found: LastDays = {}
    for batch in batches:
        assert batch.day_B is not None
        for b in range(batch.num_rows):
            singles, bags = iter(batch.ids_BF[b].tolist()), iter(batch.bags)
            for feature in features:
                if isinstance(feature, MultiValuedFeature):
                    bag = next(bags)
                    ids = bag.ids_V[bag.offsets_B1[b] : bag.offsets_B1[b + 1]].tolist()
                else:
                    ids = [next(singles)]
                for row in ids:
                    key = table_of(feature), row
                    found[key] = max(found.get(key, 0), int(batch.day_B[b]))
    return found
