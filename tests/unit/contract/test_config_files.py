"""Files of configs: what is none, or no YAML, is refused with its name and line."""

from pathlib import Path

import pytest

from esmm_dist.contract.config import load_config
from esmm_dist.contract.errors import InputError


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="absent.yaml: No such file or directory: give an"):
        load_config(tmp_path / "absent.yaml")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Is a directory"):
        load_config(tmp_path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"name: [1, 2", r"spoilt.yaml:1: no valid YAML: "),
        (b"name: a\nname: b\n", r"spoilt.yaml:2: no valid YAML: the key 'name' twice"),
        (b"name: a\ntrain: {days: 1, days: 2}\n", r"spoilt.yaml:2: .* the key 'days' twice"),
        (b"a: &x {b: *x}\n", r"spoilt.yaml:1: no valid YAML: .*recursive"),
        (b"name: !!python/object:os.system x\n", r"spoilt.yaml:1: no valid YAML: could not det"),
        (b"name: a\n---\nname: b\n", r"spoilt.yaml:2: no valid YAML: "),
        (b"name: \xff\xfe\n", "no text in UTF-8"),
        (b"name: \x07\n", "no valid YAML"),
        (b"", "expected a mapping of sections"),
        (b"- name\n", "expected a mapping of sections"),
        (b"? [a, b]\n: 1\n", r"spoilt.yaml:1: no valid YAML"),
    ],
)
def test_what_is_no_yaml_mapping_is_refused_with_its_line(
    tmp_path: Path, content: bytes, expected: str
) -> None:
    path = tmp_path / "spoilt.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=expected) as caught:
        load_config(path)
    assert "\n" not in str(caught.value)
