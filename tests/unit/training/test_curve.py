"""A curve on disk is read as far as it was written whole."""

from pathlib import Path

import pytest

from esmm_dist.training.curve import read_curve, write_point

POINTS = [{"step": 10, "loss": 0.1 + 0.2}, {"step": 20, "loss": 1e-300}]
WHOLE = "".join(write_point(point) for point in POINTS).encode()


@pytest.mark.parametrize(
    "rest", [b"", b'{"step": 30, "lo', b'{"step": 30}', b"\0\0\0", b"\0\0\n", b'{"note": "\xc3']
)
def test_what_was_cut_off_is_left_out(tmp_path: Path, rest: bytes) -> None:
    path = tmp_path / "curve.jsonl"
    path.write_bytes(WHOLE + rest)
    assert read_curve(path) == POINTS


def test_a_curve_read_is_written_to_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "curve.jsonl"
    path.write_bytes(WHOLE)
    assert "".join(map(write_point, read_curve(path))).encode() == WHOLE
