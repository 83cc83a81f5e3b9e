"""What this process and all below it use: their memory, and their CPU by what it went to.

Reads /proc, so Linux alone.
"""

import os
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
SECONDS_PER_SAMPLE = 2.0
# Threads of a JVM by how their names begin.
COMPILING, COLLECTING, JVM_REST = "JVM, compiling", "JVM, freeing memory", "JVM, else"
JVM_THREADS = {
    "C1 Comp": COMPILING, "C2 Comp": COMPILING, "GC Thread": COLLECTING, "G1 ": COLLECTING,
}


def processes() -> dict[int, str]:
    """The names of this process and of all below it, by their ids."""
    names: dict[int, str] = {}
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        name, fields = _stat(folder / "stat")
        if fields:
            names[int(folder.name)], parents[int(folder.name)] = name, int(fields[1])
    own = {os.getpid()}
    while True:
        more = {pid for pid, parent in parents.items() if parent in own} - own
        if not more:
            return {pid: names[pid] for pid in own if pid in names}
        own |= more


def cpu_seconds() -> defaultdict[str, float]:
    """CPU seconds (user and system) so far, those of ended children included, by what they went to:
    a JVM's threads of some kinds and its rest, its Python workers, and this process."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for pid, name in processes().items():
        own = "this process" if pid == os.getpid() else "Python workers"
        kind = JVM_REST if name == "java" else own
        seconds[kind] += _seconds(Path(f"/proc/{pid}/stat"), 11, 13 if name == "java" else 15)
        for thread in Path(f"/proc/{pid}/task").glob("*/stat") if name == "java" else ():
            begins = next((n for n in JVM_THREADS if _name(thread).startswith(n)), None)
            if begins is not None:
                spent = _seconds(thread, 11, 13)
                seconds[JVM_THREADS[begins]] += spent
                seconds[kind] -= spent
    return seconds


def memory_bytes() -> int:
    """Proportional set size: pages that several processes share count once."""
    total = 0
    for pid in processes():
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(1024 * int(line.split()[1]) for line in rollup.splitlines()
                     if line.startswith("Pss:"))
    return total


@contextmanager
def memory_watched() -> Iterator[list[int]]:
    """Yields a list whose last item is the highest memory seen, in bytes, looked at every 2 s."""
    peaks = [memory_bytes()]
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(SECONDS_PER_SAMPLE):
            peaks.append(max(peaks[-1], memory_bytes()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peaks
    finally:
        is_over.set()
        watcher.join()


def _stat(path: Path) -> tuple[str, list[str]]:
    """A process's or thread's name and what the kernel says after it; empty if it has ended."""
    try:
        text = path.read_text()
    except OSError:
        return "", []
    name, _, rest = text.partition("(")[2].rpartition(")")
    return name, rest.split()


def _name(path: Path) -> str:
    return _stat(path)[0]


def _seconds(path: Path, first: int, end: int) -> float:
    return sum(map(int, _stat(path)[1][first:end])) / TICKS_PER_SECOND
