"""An environment in which a launcher is told of, and none is there: one line, and no waiting."""

import socket
from collections.abc import Mapping

import pytest

from esmm_dist.contract.command_line import run_command
from esmm_dist.contract.errors import InputError
from esmm_dist.distributed.elastic import run_in_world
from esmm_dist.distributed.launcher import is_launched, store_of_launcher

NAMES = ("RANK", "ELASTIC", "GLOO_RENDEZVOUS_ADDR", "GLOO_RENDEZVOUS_PORT")


def free_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port: int = unused.getsockname()[1]
        return port


@pytest.mark.parametrize(("left", "named"), [
    ({"RANK": "0"}, "has no HOROVOD_GLOO_RENDEZVOUS_ADDR"),
    ({"ELASTIC": "1"}, "has no HOROVOD_GLOO_RENDEZVOUS_ADDR"),
    ({"RANK": "0", "GLOO_RENDEZVOUS_ADDR": "127.0.0.1"}, "has no HOROVOD_GLOO_RENDEZVOUS_PORT"),
    ({"RANK": "1", "GLOO_RENDEZVOUS_ADDR": "127.0.0.1", "GLOO_RENDEZVOUS_PORT": "FREE"},
     "no launcher answers at 127.0.0.1:"),
    ({"ELASTIC": "1", "GLOO_RENDEZVOUS_ADDR": "127.0.0.1", "GLOO_RENDEZVOUS_PORT": "FREE"},
     "no launcher answers at 127.0.0.1:"),
])
def test_what_a_job_has_left_in_a_shell_is_refused_in_one_line(
    left: Mapping[str, str], named: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in NAMES:
        monkeypatch.delenv(f"HOROVOD_{name}", raising=False)
    for name, value in left.items():
        monkeypatch.setenv(f"HOROVOD_{name}", value.replace("FREE", str(free_port())))

    def command(argv: object) -> None:
        run_in_world(lambda world, have_begun: pytest.fail("it must not begin"))

    assert run_command(command, []) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: ") and line.count("\n") == 1
    assert named in line and "unset HOROVOD_RANK" in line


@pytest.mark.parametrize("name", ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"])
def test_processes_that_mpi_has_started_do_not_each_train_by_themselves(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for unset in NAMES:
        monkeypatch.delenv(f"HOROVOD_{unset}", raising=False)
    monkeypatch.setenv(name, "4")
    with pytest.raises(InputError, match=f"^{name} = 4: .* start them by horovodrun --gloo"):
        is_launched()
    monkeypatch.setenv(name, "1")
    assert not is_launched()


def test_a_launcher_that_listens_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setenv("HOROVOD_GLOO_RENDEZVOUS_ADDR", "127.0.0.1")
        monkeypatch.setenv("HOROVOD_GLOO_RENDEZVOUS_PORT", str(port))
        assert store_of_launcher() == f"127.0.0.1:{port}"
