"""What several integration tests hold their code to."""

import threading
from collections.abc import Iterator

import pytest


@pytest.fixture
def no_thread_is_left_behind() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before
