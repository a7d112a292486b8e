"""prefork: warm worker processes on this machine that no crash can break.

The names of this package are loaded when they are first used, so ``import prefork`` costs next to nothing and is safe in
a process that forks later.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import asyncio as asyncio, multiprocessing as multiprocessing, task as task, worker as worker
    from .arrays import array as array
    from .errors import (
        DaemonUnavailable as DaemonUnavailable,
        ExitReport as ExitReport,
        MemoryFull as MemoryFull,
        PoolBroken as PoolBroken,
        PreforkError as PreforkError,
        QueueFull as QueueFull,
        RemoteTraceback as RemoteTraceback,
        RequestRejected as RequestRejected,
        TaskCancelled as TaskCancelled,
        TaskCrashed as TaskCrashed,
        TaskError as TaskError,
        TaskFailed as TaskFailed,
        TaskLost as TaskLost,
        TaskOutOfMemory as TaskOutOfMemory,
        TaskTimeout as TaskTimeout,
    )
    from .executor import Executor as Executor
    from .future import Future as Future, Progress as Progress
    from .options import Options as Options

__version__ = "0.1.0"

# Where each public name lives; None: it is a module of its own.
_HOMES: dict[str, str | None] = {
    "DaemonUnavailable": "errors",
    "Executor": "executor",
    "ExitReport": "errors",
    "Future": "future",
    "MemoryFull": "errors",
    "Options": "options",
    "PoolBroken": "errors",
    "PreforkError": "errors",
    "Progress": "future",
    "QueueFull": "errors",
    "RemoteTraceback": "errors",
    "RequestRejected": "errors",
    "TaskCancelled": "errors",
    "TaskCrashed": "errors",
    "TaskError": "errors",
    "TaskFailed": "errors",
    "TaskLost": "errors",
    "TaskOutOfMemory": "errors",
    "TaskTimeout": "errors",
    "array": "arrays",
    "asyncio": None,
    "joblib": None,
    "multiprocessing": None,
    "task": None,
    "worker": None,
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOMES[name]
    module = importlib.import_module(f"{__name__}.{home or name}")
    value = module if home is None else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
