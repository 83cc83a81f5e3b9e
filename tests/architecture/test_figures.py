"""What documents show or name is there: figures of the records, tests of the mistakes."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
NUMBER = re.compile(r"[+-]?\d*\.\d+")


def numbers(text: str) -> list[str]:
    return NUMBER.findall(text.replace("−", "-"))


def rows_of_readme() -> list[tuple[str, str]]:
    """The metrics of the README's table, each with its line."""
    lines = re.findall(r"^\| (\w+) \([^|]*\) (\|.*)$", README, re.MULTILINE)
    return [(metric, rest) for metric, rest in lines if numbers(rest)]


def record() -> str:
    (name,) = set(re.findall(r"benchmarks/demo_\w+-\d\d-\d\d\.md", README))
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize(("metric", "shown"), rows_of_readme())
def test_the_readmes_table_is_the_demos_record(metric: str, shown: str) -> None:
    (line,) = re.findall(rf"^│ {metric} .*$", record(), re.MULTILINE)
    recorded = numbers(line)
    assert len(recorded) == len(numbers(shown)) == 5
    for text, exact in zip(numbers(shown), recorded):
        digits = len(text.partition(".")[2])
        assert abs(float(text) - float(exact)) <= 0.5000001 * 10**-digits, (text, exact)


def test_the_table_was_found() -> None:
    assert len(rows_of_readme()) == 5


def test_every_record_that_is_named_is_there() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    named = {name for page in pages
             for name in re.findall(r"benchmarks/\w+_\w+_[\d-]+\.md", page.read_text("utf-8"))}
    assert named and not [name for name in named if not (ROOT / name).is_file()]


METHODS = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
NAMED_TESTS = re.findall(r"`((?:unit|integration)/[\w/]+\.py)`: ([^;|]+)", METHODS)


@pytest.mark.parametrize(("path", "words"), NAMED_TESTS)
def test_the_tests_that_hold_us_to_account_are_there(path: str, words: str) -> None:
    """They are named by how their names begin."""
    name = "test_" + re.sub(r"\W+", "_", words.replace("'", "").strip().lower())
    text = (ROOT / "tests" / path).read_text(encoding="utf-8")
    assert re.search(rf"^def {name}", text, re.MULTILINE), name


def test_every_mistake_names_a_test() -> None:
    table = METHODS.partition("| mistake | test |")[2].partition("\n\n")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ") and "---" not in line]
    assert len(rows) >= 10 and all(": " in row for row in rows)
    assert sum(row.count(".py`: ") for row in rows) == len(NAMED_TESTS)
