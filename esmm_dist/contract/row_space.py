"""Where each row of each table lives: arithmetic that trainer, checkpoint and export share.

Whole numbers only; it knows no tensor (though its formulas take one as well as an int), no rank's
memory and no file. Why it is so: docs/decisions/0001-row-space.md.

    bucket = id * 589 mod 1,024                                  virtual, dealt to the ranks
    slot   = bucket * slots_per_bucket + first_slot_of_table + id // 1,024

A bucket holds a stretch of every table, and the space holds the buckets one after another. So the
slots of a rank are one range, a table's place in a bucket depends on no rank, and rows appended
to a table change the bucket of no other row.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

NUM_BUCKETS = 1024

# The frequent ids of a table are often its first, so the first must fall evenly over the ranks:
# with this stride those below any n < 1,024 do, within 4, for 2 to 64 ranks; no odd one is better.
BUCKET_STRIDE = 589
_INVERSE_STRIDE = pow(BUCKET_STRIDE, -1, NUM_BUCKETS)


@dataclass(frozen=True)
class RowSpace:
    """All tables of one width as one range of slots."""

    num_rows_of_table: Mapping[str, int]
    """In the order in which the tables lie inside a bucket."""

    @cached_property
    def slots_of_table(self) -> dict[str, range]:
        """Each table's slots, counted from the beginning of a bucket, the same in every bucket."""
        ranges: dict[str, range] = {}
        first = 0
        for table, num_rows in self.num_rows_of_table.items():
            ranges[table] = range(first, first + -(-num_rows // NUM_BUCKETS))
            first = ranges[table].stop
        return ranges

    @cached_property
    def slots_per_bucket(self) -> int:
        """Slots of one bucket; the last one of a table may be no row's."""
        return sum(len(slots) for slots in self.slots_of_table.values())

    @property
    def num_slots(self) -> int:
        """Slots of the whole space: the rows of all tables, each table rounded up to 1,024."""
        return NUM_BUCKETS * self.slots_per_bucket

    def slot_of(self, table: str, row_id: int) -> int:
        """The slot of a table's row."""
        assert 0 <= row_id < self.num_rows_of_table[table]
        bucket = bucket_of(row_id)
        return bucket * self.slots_per_bucket + self.slots_of_table[table][row_id // NUM_BUCKETS]

    def slots_of_buckets(self, buckets: range) -> range:
        """The slots of neighbouring buckets."""
        return range(buckets.start * self.slots_per_bucket, buckets.stop * self.slots_per_bucket)


def bucket_of(row_id: int) -> int:
    """The virtual bucket of a row, whatever its table and the number of ranks."""
    return row_id * BUCKET_STRIDE % NUM_BUCKETS


def rows_of_bucket(bucket: int, num_rows: int) -> range:
    """The rows of a table that lie in a bucket, in the order of their slots."""
    return range(bucket * _INVERSE_STRIDE % NUM_BUCKETS, num_rows, NUM_BUCKETS)


def buckets_of_rank(rank: int, num_ranks: int) -> range:
    """The buckets dealt to a rank: contiguous, their numbers equal up to one."""
    assert 0 <= rank < num_ranks <= NUM_BUCKETS
    return range(rank * NUM_BUCKETS // num_ranks, (rank + 1) * NUM_BUCKETS // num_ranks)
