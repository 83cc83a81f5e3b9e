"""The launcher that started this process, as its environment tells of it.

It loads no Horovod: what is wrong is told before Horovod waits for a launcher that is not there.
"""

import os
import socket

from esmm_dist.contract.errors import InputError

SECONDS_TO_ANSWER = 10.0
_ADDRESS, _PORT = "HOROVOD_GLOO_RENDEZVOUS_ADDR", "HOROVOD_GLOO_RENDEZVOUS_PORT"
_SIZES_OF_MPI = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
_WAY_OUT = ("start it by horovodrun --gloo, or unset HOROVOD_RANK and HOROVOD_ELASTIC to run it in "
            "one process")


def is_launched() -> bool:
    """Whether this process is to be one of many.

    Raises:
        InputError: MPI has started several, none of which would know of another.
    """
    if "HOROVOD_RANK" in os.environ or is_elastic():
        return True
    for name in _SIZES_OF_MPI:
        if os.environ.get(name, "1") != "1":
            raise InputError(
                f"{name} = {os.environ[name]}: MPI has started so many processes, and our Horovod "
                "knows no MPI: each would do all of it by itself: start them by horovodrun --gloo"
            )
    return False


def is_elastic() -> bool:
    """Whether its job goes on when ranks are lost or join."""
    return os.environ.get("HOROVOD_ELASTIC") == "1"


def store_of_launcher() -> str:
    """host:port of the launcher's key-value store, where the ranks find each other.

    Raises:
        InputError: this environment is that of no launcher, or of one that has ended.
    """
    for name in (_ADDRESS, _PORT):
        if not os.environ.get(name):
            raise InputError(
                f"the environment says that this is a rank of a job, and has no {name}: {_WAY_OUT}"
            )
    host, port = os.environ[_ADDRESS], os.environ[_PORT]
    try:
        socket.create_connection((host, int(port)), SECONDS_TO_ANSWER).close()
    except ConnectionRefusedError:
        raise InputError(
            f"no launcher answers at {host}:{port}, where {_ADDRESS} says that there is one: the "
            f"job has ended, or another one has left its variables here: {_WAY_OUT}"
        ) from None
    except (OSError, ValueError):
        pass  # whoever needs it will say so
    return f"{host}:{port}"
