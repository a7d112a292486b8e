"""The one way to wait in these tests, for tests and for the tasks that they submit."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_BETWEEN_LOOKS = 0.005


def wait_until(condition: Callable[[], T], what: str, seconds: float = 30.0) -> T:
    """Looks again and again until ``condition()`` is true, and returns what it was.

    Args:
        what: Is awaited, for the error.

    Raises:
        AssertionError: It is not true after so many seconds.
    """
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(_BETWEEN_LOOKS)
    return result
