"""Random and awkward values of every type that a log's column may have."""

import math
import random
import struct
from collections.abc import Mapping, Sequence

from esmm_dist.contract.encoder import Value

ALPHABETS = (
    "abc '\"\\{}[]:,\t\n\x00\x7f", "äßçñøΩжशبא中文字かな한", "😀𝄞🂡\U0010ffff\U00010000e\u0301\u200d"
)
AWKWARD: Mapping[str, Sequence[Value]] = {
    "string": ("", " ", "null", "NaN", "0", "-0", "1", "01", "1.0", "true", "'", '"', '\\"', "\x00",
               "a\x00", "A", "a", "é", "e\u0301", "😀", "x" * 5_000, "x" * 10_000,
               "é" * 5_001, "x" * 60_000, "-9223372036854775808"),
    "int64": (0, 1, -1, 2**63 - 1, -(2**63), 2**53, 2**53 + 1, 2**31, -(2**31) - 1),
    "double": (0.0, -0.0, math.nan, math.inf, -math.inf, 1.0, 2.5, 2.0**53, 2.0**63, -(2.0**63),
               2.0**63 - 1024, 1e308, -1e308, 5e-324, -5e-324, 0.1, 1e22),
    "float": (0.0, -0.0, math.nan, math.inf, -math.inf, 1.0, 2.5, 2.0**63, -(2.0**63), 2.0**127,
              2.0**-149),
    "boolean": (True, False),
}


def random_value(rng: random.Random, kind: str) -> Value:
    """A value of a type; one in ten is null, half come from a range so small that they recur."""
    if rng.random() < 0.1:
        return None
    if rng.random() < 0.1:
        return rng.choice(AWKWARD[kind])
    is_small = rng.random() < 0.5
    match kind:
        case "string":
            text = "".join(rng.choices(rng.choice(ALPHABETS), k=rng.randrange(12)))
            return str(rng.randrange(-2_000, 2_000)) if is_small else text
        case "int64":
            return rng.randrange(-2_000, 2_000) if is_small else rng.randrange(-(2**63), 2**63)
        case "boolean":
            return is_small
    if is_small:
        return rng.randrange(-2_000, 2_000) / rng.choice((1, 1, 2))
    if kind == "float":  # any bit pattern that float32 has
        return float(struct.unpack("<f", rng.randbytes(4))[0])
    return float(struct.unpack("<d", rng.randbytes(8))[0])
