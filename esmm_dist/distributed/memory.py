"""Memory for tables, and for what a step makes and drops again, as it is fastest to reach.

It knows no table; on a device other than the CPU it asks for nothing special.
"""

import ctypes
import mmap
import resource
import sys
from pathlib import Path

import torch
from torch import Tensor

# Where control groups of version 2 lie, and which of them a process is in.
CONTROL_GROUPS, OWN_CONTROL_GROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")

# mallopt(3): freed memory above this is given back to the system, and blocks above the other are
# never kept. glibc takes no more than 32 MiB for the second.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
MOST_KEPT_BYTES, LARGEST_KEPT_BLOCK_BYTES = 2**30, 32 * 2**20


def zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Zeros whose memory the system maps in huge pages where it has them.

    The rows of a batch lie anywhere in a table. With pages of 4 KiB nearly each of them costs the
    processor a walk through the page table on top: updating 80,000 rows of 10 M took twice as
    long (docs/LOG.md).
    """
    num_bytes = torch.Size(shape).numel() * dtype.itemsize
    if device.type != "cpu" or num_bytes == 0 or not hasattr(mmap, "MADV_HUGEPAGE"):
        return torch.zeros(shape, dtype=dtype, device=device)
    memory = mmap.mmap(-1, num_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(memory, dtype=dtype).view(shape)


def keep_freed_memory() -> None:
    """Lets this process keep the memory of one step's tensors for the next step's.

    glibc hands blocks of some MiB back to the system as soon as they are free, and each step then
    waits for thousands of fresh pages: a twelfth of its time (docs/LOG.md).
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", lambda option, value: 0)  # glibc's alone
        mallopt(M_TRIM_THRESHOLD, MOST_KEPT_BYTES)
        mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT_BLOCK_BYTES)


def available_bytes(device: torch.device, num_local_ranks: int) -> int:
    """What this rank can still take, where ranks of a machine share it evenly.

    On a GPU what is free there; else the least of the machine's available memory, what is left in
    its control group and in those above it, and this process's own limit (`ulimit -v`).
    """
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    shared = [_available_on_machine(), *left_in_control_groups()]
    bounds = [num_bytes // num_local_ranks for num_bytes in shared]
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        num_pages = int(Path("/proc/self/statm").read_text().split()[0])
        bounds.append(limit - num_pages * resource.getpagesize())
    return max(0, min(bounds))


def _available_on_machine() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    (kib,) = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(kib) * 1024


def left_in_control_groups() -> list[int]:
    """What is left in each control group above this process that has a limit.

    Pages of files that were read count as used there, but the system gives them up for others:
    without them, who has read samples in a container would be left nothing for tables.
    """
    try:
        own = next(line[3:] for line in OWN_CONTROL_GROUP.read_text().splitlines()
                   if line.startswith("0::"))
    except (OSError, StopIteration):
        return []
    # In a container's own namespace it is the root; elsewhere the jobs of a machine have paths.
    group = CONTROL_GROUPS / own.strip("/")
    groups = [path for path in (group, *group.parents) if path.is_relative_to(CONTROL_GROUPS)]
    lefts = []
    for path in groups:
        try:
            limit, used, stat = ((path / f"memory.{name}").read_text().strip()
                                 for name in ("max", "current", "stat"))
        except OSError:  # the first one of a machine knows no limit
            continue
        if limit != "max":
            of_files = sum(int(line.split()[1]) for line in stat.splitlines()
                           if line.startswith(("active_file ", "inactive_file ")))
            lefts.append(int(limit) - int(used) + of_files)
    return lefts
