"""A pool that ends because nobody uses it is made anew by the next submit."""

from __future__ import annotations

import os

import pytest

import prefork
from prefork import pools
from waiting import wait_until


def state_of_pool(executor: prefork.Executor) -> str | None:
    core = executor._core
    pool = core._get_pool(core.connection())
    return None if pool is None else pool["state"]


@pytest.mark.parametrize(
    "ended", [{None, "POOL_STATE_DELETED"}, {None}], ids=["while its workers end", "when it is gone"]
)
def test_a_pool_that_ends_between_two_submits_is_not_missed(
    ended: set[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "IDLE_TIMEOUT", "0.3s")
    workers = set()
    with prefork.Executor(1, preload=["sched"]) as executor:  # a pool of its own by that
        for _ in range(5):
            workers.add(executor.submit(os.getpid).result(timeout=60))
            wait_until(lambda: state_of_pool(executor) in ended, "the pool ends")
    assert len(workers) > 1, "it never ended"
