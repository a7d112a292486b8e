"""The running task, seen from inside: progress, partial results, cancellation.

Outside a worker everything here does nothing, so the same function runs anywhere.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from . import codec

if TYPE_CHECKING:
    from types import ModuleType


def _worker() -> ModuleType | None:
    """The extension, if this process runs a task. Only a worker has loaded it."""
    extension = sys.modules.get("prefork._worker")
    return extension if extension is not None and extension.running() else None


def progress(done: float, total: float = 0, text: str = "") -> None:
    """Tells whoever watches how far the task is.

    Args:
        done: How much is done, in any unit.
        total: How much there is to do, in the same unit; 0 if that is not known.
        text: A few words.
    """
    worker = _worker()
    if worker is not None:
        worker.progress(float(done), float(total), text)


def emit(value: Any) -> None:
    """Sends a part of the result at once; ``Future.stream()`` yields it.

    Raises:
        MemoryError: The daemon has no room for a value so large.
        Exception: What pickling ``value`` raises.
    """
    worker = _worker()
    if worker is not None:
        encoded = codec.dumps(codec.lighten(value))
        worker.emit(encoded.joined(), encoded.content_type)


def __getattr__(name: str) -> Any:
    """``cancelled``: is the task asked to stop? ``id``: its number, 0 outside; ``attempt``: 1 for the first, 0 outside."""
    worker = _worker()
    if name == "cancelled":
        return worker.cancelled() if worker is not None else False
    if name == "id":
        return worker.task_id() if worker is not None else 0
    if name == "attempt":
        return worker.attempt() if worker is not None else 0
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


if TYPE_CHECKING:
    cancelled: bool
    id: int
    attempt: int
