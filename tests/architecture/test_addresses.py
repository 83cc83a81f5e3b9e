"""What a config names may be an address: pathlib would take s3://bucket for a folder `s3:`."""

import re
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "esmm_dist"
AS_PATH = re.compile(r"(?<!\w)Path\([^()]*(runs_path|samples\.path|samples_path|publish\.path)")


def test_no_module_takes_an_address_of_the_config_for_a_path() -> None:
    found = [f"{path.relative_to(PACKAGE)}: {line.strip()}"
             for path in sorted(PACKAGE.rglob("*.py"))
             for line in path.read_text(encoding="utf-8").splitlines() if AS_PATH.search(line)]
    assert found == []
