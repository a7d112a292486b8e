"""A pool that ends because nobody uses it is made anew by the next submit."""

from __future__ import annotations

import os
import time

import pytest

import prefork
from prefork import pools


def test_a_pool_that_ends_between_two_submits_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "IDLE_TIMEOUT", "0.3s")
    workers = set()
    with prefork.Executor(1, preload=["sched"]) as executor:  # a pool of its own by that
        for number in range(12):
            workers.add(executor.submit(os.getpid).result(timeout=60))
            # Just before, while and just after it ends.
            time.sleep(0.29 + 0.002 * number)
    assert len(workers) > 1, "it never ended"
