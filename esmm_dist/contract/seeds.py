"""Seeds of the parts of a model, so that no two begin alike."""

import hashlib


def seed_of_part(seed: int, number: int) -> int:
    """The seed of part number 0, 1, …: that of the first is the model's own."""
    if number == 0:
        return seed
    digest = hashlib.blake2b(f"{seed}/{number}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little")
