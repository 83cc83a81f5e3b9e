"""Memory as the system is asked for it: huge pages for tables, freed blocks kept."""

import resource
import sys
from pathlib import Path

import pytest
import torch

from esmm_dist.distributed import memory
from esmm_dist.distributed.memory import (
    available_bytes,
    keep_freed_memory,
    left_in_control_groups,
    zeros,
)

CPU = torch.device("cpu")
BLOCK_BYTES = 8 * 2**20
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")


def flags_of_mapping(address: int) -> list[str]:
    """What the kernel was told of the memory at an address."""
    is_within = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        span, *_ = line.split()
        if "-" in span and not span.endswith(":"):
            first, end = (int(part, 16) for part in span.split("-"))
            is_within = first <= address < end
        elif is_within and span == "VmFlags:":
            return line.split()[1:]
    raise AssertionError("no mapping there")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int32])
@pytest.mark.parametrize("shape", [(0, 4), (3,), (70_000, 18)])
def test_zeros_are_zeros_that_can_be_written(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    made = zeros(shape, dtype, CPU)
    assert made.shape == shape and made.dtype == dtype and not made.any()
    made += 1
    assert bool((made == 1).all())


@linux_only
@pytest.mark.skipif(not Path("/sys/kernel/mm/transparent_hugepage").exists(),
                    reason="the kernel has no huge pages")
def test_tables_lie_in_huge_pages() -> None:
    made = zeros((BLOCK_BYTES,), torch.float32, CPU)
    assert "hg" in flags_of_mapping(made.data_ptr() + BLOCK_BYTES)


@linux_only
def test_what_one_step_frees_the_next_one_has_without_new_pages() -> None:
    keep_freed_memory()

    def pages_of_a_step() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        blocks = [torch.ones(BLOCK_BYTES // 4) for _ in range(4)]
        del blocks
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    for _ in range(5):  # until the free blocks fit together
        pages_of_a_step()
    pages = 4 * BLOCK_BYTES // resource.getpagesize()
    assert sum(pages_of_a_step() for _ in range(5)) < pages / 10


@pytest.mark.parametrize(("own", "left"), [
    ("0::/", []), ("0::/jobs/nine\n", [100 - 90 + 30 + 5, 800 - 95 + 30]),
    ("4:memory:/jobs/nine\n0::/jobs\n", [800 - 95 + 30]), ("4:memory:/jobs/nine", []),
])
def test_pages_of_files_are_left_to_a_control_group_and_the_groups_above_it_have_a_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str, left: list[int]
) -> None:
    monkeypatch.setattr(memory, "CONTROL_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(memory, "OWN_CONTROL_GROUP", tmp_path / "own")
    (tmp_path / "own").write_text(own)
    for name, limit, used, stat in (
        ("jobs/nine", "100", "90", "anon 55\nfile 40\ninactive_file 30\nactive_file 5\n"),
        ("jobs", "800", "95", "inactive_file 30\nactive_file 0"), (".", "max", "99", ""),
    ):
        group = tmp_path / "groups" / name
        group.mkdir(parents=True, exist_ok=True)
        for file, content in (("max", limit), ("current", used), ("stat", stat)):
            (group / f"memory.{file}").write_text(f"{content}\n")
    assert left_in_control_groups() == left
    if left:
        assert available_bytes(CPU, 2) == min(left) // 2
