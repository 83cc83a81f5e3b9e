"""Runs a command in the world of this process; in an elastic job anew whenever its members change.

Under `horovodrun --min-np … --host-discovery-script …` a lost rank does not end the job, and new
ones may join. What was computed lies in the ranks' memory and is gone with the lost one: the
command has to go on from what it saved, together with ranks that know nothing yet.
"""

from collections.abc import Callable
from typing import Any

from esmm_dist.contract.world import World
from esmm_dist.distributed.launcher import is_elastic
from esmm_dist.distributed.world import HorovodWorld, connect, connected_horovod, heartbeats_of

Command = Callable[[World, bool], None]
"""Takes the world, and whether members have begun before: then it goes on from what was saved."""


def run_in_world(command: Command) -> None:
    """Runs a command once, or in an elastic job until it has come to its end with some members."""
    if not is_elastic():
        with connect() as world:
            command(world, False)
        return
    hvd = connected_horovod()
    from horovod.torch import elastic

    try:
        elastic.run(_attempt)(_members(hvd), hvd, command)
    finally:
        hvd.shutdown()


def _attempt(members: Any, hvd: Any, command: Command) -> None:
    """One run with the present members; Horovod's exceptions pass, other errors end this rank."""
    from horovod.common.exceptions import HostsUpdatedInterrupt

    changes = (hvd.HorovodInternalError, HostsUpdatedInterrupt)
    with heartbeats_of(hvd) as heartbeats:
        world = HorovodWorld(hvd, heartbeats, on_pause=members.check_host_updates)
        try:
            have_begun = any(world.gather_objects(members.have_begun, name="members"))
            members.have_begun = True
            command(world, have_begun)
        except changes:
            raise
        except Exception as error:
            raise SystemExit(world.tell(error)) from None


def _members(hvd: Any) -> Any:
    """Horovod's record of who takes part. It keeps no tensor: checkpoints do."""
    from horovod.common.elastic import State

    class Members(State):
        have_begun = False

        def save(self) -> None:
            """Nothing: the command saves."""

        def restore(self) -> None:
            """Nothing: the command begins anew and loads what it saved."""

        def sync(self) -> None:
            """Nothing: all members read what was saved."""

    return Members(bcast_object=hvd.broadcast_object, get_rank=hvd.rank)
