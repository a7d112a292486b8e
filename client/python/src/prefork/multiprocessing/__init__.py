"""The names of the standard ``multiprocessing``, on workers that are warm and that no crash can break.

::

    from prefork import multiprocessing

What the standard documentation says of these names holds. Where they must differ is in the README of the Python client,
'Coming from multiprocessing'.
"""

from __future__ import annotations

from typing import Any

from multiprocessing import AuthenticationError, BufferTooShort, ProcessError, TimeoutError, get_logger, log_to_stderr

from .context import (
    Pool,
    cpu_count,
    freeze_support,
    get_all_start_methods,
    get_context,
    get_start_method,
    set_start_method,
)
from .process import Process, active_children, current_process, parent_process

__all__ = [
    "AuthenticationError",
    "BufferTooShort",
    "Pool",
    "Process",
    "ProcessError",
    "TimeoutError",
    "active_children",
    "cpu_count",
    "current_process",
    "freeze_support",
    "get_all_start_methods",
    "get_context",
    "get_logger",
    "get_start_method",
    "log_to_stderr",
    "parent_process",
    "set_start_method",
]

_TO_COME = frozenset(
    "Array Barrier BoundedSemaphore Condition Event JoinableQueue Lock Manager Pipe Queue RLock RawArray RawValue Semaphore "
    "SimpleQueue Value connection managers pool queues shared_memory sharedctypes synchronize".split()
)


def __getattr__(name: str) -> Any:
    if name in _TO_COME:
        raise ImportError(f"prefork.multiprocessing.{name} is not available yet; of multiprocessing's names there are {', '.join(__all__)}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
