"""What commands log for machines, found again in what they wrote."""

import json
from typing import Any


def objects_in(output: str) -> list[dict[str, Any]]:
    """The objects of the lines that hold one; a launcher may have put a rank before it."""
    return [json.loads(line[line.index("{"):]) for line in output.splitlines() if "{" in line]
