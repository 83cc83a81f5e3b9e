"""Publishes tiny bundles again and again, for tests that run several of it or kill it.

    python -m tests.integration.switching FOLDER NUM_SWITCHES
    python -m tests.integration.switching FOLDER killed

The second form publishes one bundle after the other and is killed before the first, the second, …
thing that it does to the disk, until one gets through. After each it tells how it went, and waits
for a line before it goes on.
"""

import os
import sys
from itertools import count
from pathlib import Path

from esmm_dist.serving.aliases import in_service
from esmm_dist.serving.store import BundleStore
from tests.factories.bundles import add_bundle, bundle_config, places
from tests.integration.killing import kill_before


def switch(folder: Path) -> None:
    """Puts another bundle into service."""
    store = BundleStore(folder / "bundles")
    bundle = add_bundle(store, bundle_config(folder), places("a"), weights=os.urandom(2**10))
    store.aliases.switch(lambda aliases: in_service(aliases, bundle.name))


def switch_killed(folder: Path) -> None:
    """One process a try, forked so that each begins where the others did."""
    for number in count():
        child = os.fork()
        if not child:
            kill_before(number)
            switch(folder)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print("killed" if os.WIFSIGNALED(status) else "through", flush=True)
        if not os.WIFSIGNALED(status):
            sys.exit(os.waitstatus_to_exitcode(status))
        sys.stdin.readline()


if __name__ == "__main__":
    if sys.argv[2] == "killed":
        switch_killed(Path(sys.argv[1]))
    else:
        for _ in range(int(sys.argv[2])):
            switch(Path(sys.argv[1]))
