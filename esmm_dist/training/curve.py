"""A curve on disk: one JSON object a line, a point each, in order of steps.

It knows no loss by name.
"""

import json
from pathlib import Path
from typing import Any


def curve_of(fold: str) -> str:
    """Where a fold's curve lies below the run's folder."""
    return f"curves/{fold}.jsonl"


def read_curve(path: Path) -> list[dict[str, Any]]:
    """The points of a curve that were written to their end.

    What follows the last of them, a kill or a full disk has cut off; it is left out.
    """
    points = []
    for line in path.read_bytes().splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break
        try:
            points.append(json.loads(line))
        except ValueError:
            break
    return points


def write_point(point: dict[str, Any]) -> str:
    """A point as its line."""
    return json.dumps(point) + "\n"
