"""A uniform whole number for every sample: the coin that decides which rows a training takes.

It depends on the sample, a seed and a stream alone: neither on ranks, files nor order. The
arithmetic is written with operators alone, so that NumPy and torch, which both wrap int64 round,
give the same numbers to the last bit.
"""

from typing import Any

NUM_DRAWS = 2**53
"""As many as float64 tells apart."""

_BITS = 64
_GOLDEN = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB


def draws_of_samples(sample_id_N: Any, seed: int, stream: int) -> Any:
    """Uniform whole numbers below NUM_DRAWS, int64, of the shape of the ids.

    Source: the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), over the sample id
    and a key mixed from seed and stream.

    Args:
        sample_id_N: int64, a NumPy array or a tensor.
        seed, stream: whole numbers below 2**63; another of either gives independent draws.
    """
    key = _mixed_int(_mixed_int(seed + _GOLDEN) ^ (stream + _GOLDEN))
    x_N = _mixed(sample_id_N ^ _signed(key))
    return _shifted(x_N, _BITS - NUM_DRAWS.bit_length() + 1)


def _mixed(x_N: Any) -> Any:
    x_N = (x_N ^ _shifted(x_N, 30)) * _signed(_MIX_1)
    x_N = (x_N ^ _shifted(x_N, 27)) * _signed(_MIX_2)
    return x_N ^ _shifted(x_N, 31)


def _shifted(x_N: Any, num_bits: int) -> Any:
    """A shift that brings in zeros: that of int64 brings in the sign."""
    return (x_N >> num_bits) & (2 ** (_BITS - num_bits) - 1)


def _mixed_int(x: int) -> int:
    x %= 2**_BITS
    x = (x ^ (x >> 30)) * _MIX_1 % 2**_BITS
    x = (x ^ (x >> 27)) * _MIX_2 % 2**_BITS
    return x ^ (x >> 31)


def _signed(x: int) -> int:
    """The int64 with the same bits."""
    return x - 2**_BITS if x >= 2 ** (_BITS - 1) else x
