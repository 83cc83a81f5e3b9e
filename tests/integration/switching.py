"""Publishes tiny bundles again and again, for tests that run several of it or kill it.

    python -m tests.integration.switching FOLDER NUM_SWITCHES
"""

import os
import sys
from pathlib import Path

from esmm_dist.serving.aliases import in_service
from esmm_dist.serving.store import BundleStore
from tests.factories.bundles import add_bundle, bundle_config, places


def main(folder: Path, num_switches: int) -> None:
    """Each switch puts another bundle into service."""
    store = BundleStore(folder / "bundles")
    config = bundle_config(folder)
    for number in range(num_switches):
        print(number, flush=True)
        bundle = add_bundle(store, config, places("a"), weights=os.urandom(2**16))
        store.aliases.switch(lambda aliases: in_service(aliases, bundle.name))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
