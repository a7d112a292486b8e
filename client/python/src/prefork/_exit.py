"""The interpreter's end: executors finish what they have, as the standard ones do, and connections close."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable

_registered_in = 0
_first: list[Callable[[], object]] = []


def before_end(function: Callable[[], object]) -> None:
    """Has ``function`` called at this process's end, before executors wait for their tasks."""
    _first.append(function)


def register() -> None:
    """Called when this process gets its first connection."""
    global _registered_in
    if _registered_in != os.getpid():
        _registered_in = os.getpid()
        atexit.register(_end, _registered_in)


def _end(process: int) -> None:
    if process != os.getpid():
        return  # inherited by a fork
    from .connection import close_all
    from .core import shut_down_all

    try:
        for function in _first:
            function()
        shut_down_all()
    finally:
        close_all()
