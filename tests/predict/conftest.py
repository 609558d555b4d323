"""A process group of one, for the wrappers that want one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch.distributed as dist
from torch._C._distributed_c10d import HashStore


@pytest.fixture(scope="session")
def process_group() -> Iterator[None]:
    if dist.is_initialized():  # by the tests of another folder
        yield
        return
    dist.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()
