"""What every test runs under, and what tests of several folders share."""

from __future__ import annotations

import signal
import warnings
from collections.abc import Iterator

import pytest
from hypothesis import settings

# No deadline: a busy machine is no finding. `quick` and `full` draw the same examples every time, so that a red run is
# the change's doing; `pytest -m hypothesis --hypothesis-profile=full` is what CI adds, and `deep` looks for news.
settings.register_profile("quick", max_examples=20, deadline=None, derandomize=True)
settings.register_profile("full", max_examples=50, deadline=None, derandomize=True)
settings.register_profile("deep", max_examples=1000, deadline=None)
settings.load_profile("quick")


def pytest_configure() -> None:
    """Hear Ctrl-C, which a shell has its background jobs ignore, and they theirs: tests send it to processes."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def process_group() -> Iterator[None]:
    """Make a process group of one, for the wrappers that want one."""
    import torch.distributed as dist
    from torch._C._distributed_c10d import HashStore

    dist.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.fixture
def quiet() -> Iterator[None]:
    """Let torch warn of what is deprecated, or pointless on one process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
