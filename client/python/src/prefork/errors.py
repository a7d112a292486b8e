"""What can go wrong. Each class is also the standard one that says the same, where there is one.

::

    PreforkError
     +- DaemonUnavailable (ConnectionError)      no daemon answers, and none could be started
     +- RequestRejected (RuntimeError)           the daemon refused the request, and says why
     |   +- QueueFull                            a queue or limit is full: wait, or raise it
     +- PoolBroken (BrokenExecutor)             its workers can't be started, and the text says why
     +- TaskError                                how a task ended; has .task_id and .report
         +- TaskFailed                           its own error, when the exception itself could not travel
         +- TaskCrashed (RuntimeError)           its process died
         |   +- TaskOutOfMemory (MemoryError)    ... because the kernel ran out of memory for it
         +- TaskTimeout (TimeoutError)           it ran, or waited, longer than its own timeout
         +- TaskCancelled (CancelledError)       somebody else cancelled it, or the daemon ended
         +- TaskLost (ConnectionError)           the connection broke; nobody knows how it ended

A task's own exception arrives as what it is (``ValueError`` as ``ValueError``) with a ``RemoteTraceback`` as its cause.
``TaskCrashed`` is no ``BrokenExecutor``: one task is lost, the executor goes on, and code that replaces broken executors
has nothing to do.
"""

from __future__ import annotations

import concurrent.futures
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = [
    "DaemonUnavailable",
    "ExitReport",
    "PoolBroken",
    "PreforkError",
    "QueueFull",
    "RemoteTraceback",
    "RequestRejected",
    "TaskCancelled",
    "TaskCrashed",
    "TaskError",
    "TaskFailed",
    "TaskLost",
    "TaskOutOfMemory",
    "TaskTimeout",
]


@dataclass(frozen=True)
class ExitReport:
    """Everything known about how an attempt ended. Times are in seconds."""

    cause: str
    """One word: ``worker_died``, ``out_of_memory``, ``timeout``, ``task_error``, ..."""
    detail: str
    """One sentence for people."""
    attempt: int
    worker_index: int
    worker_generation: int
    pid: int
    """The process that ran it; for display only."""
    exit_code: int | None
    """Set when the process ended by itself."""
    signal: int | None
    """Set when a signal ended it."""
    signal_name: str
    out_of_memory: bool
    """The kernel's OOM killer did it, by its own counters."""
    run_time: float
    queue_time: float
    cpu_time: float | None
    peak_rss_bytes: int
    stderr_tail: str
    earlier: tuple[ExitReport, ...] = ()
    """Attempts before this one, oldest first."""

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> ExitReport:
        """From what the extension hands over."""
        return cls(**{**fields, "earlier": tuple(cls.from_dict(each) for each in fields["earlier"])})


class PreforkError(Exception):
    """Base of every error of this package."""


class DaemonUnavailable(PreforkError, ConnectionError):
    """No daemon answers, and none could be started. The text names what was tried and the cure."""


class RequestRejected(PreforkError, RuntimeError):
    """The daemon refused a request.

    Attributes:
        already_exists: The thing to be made exists, and is different.
        not_found: The thing to be used does not exist.
    """

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code

    @property
    def already_exists(self) -> bool:
        return self.code == _ALREADY_EXISTS

    @property
    def being_deleted(self) -> bool:
        """A thing of that name is just being deleted; the request may be made again in a moment."""
        return self.code == _ABORTED

    @property
    def not_found(self) -> bool:
        return self.code == _NOT_FOUND


class QueueFull(RequestRejected):
    """A queue or a limit of the daemon is full."""


class MemoryFull(QueueFull, MemoryError):
    """The daemon's memory for large payloads and values is full, or what it allows one user; the text names the limit."""


class PoolBroken(PreforkError, concurrent.futures.BrokenExecutor):
    """No worker of the pool can be started: the initializer or a preload fails, or the interpreter lacks the package."""


class TaskError(PreforkError):
    """A task did not succeed.

    Attributes:
        task_id: The daemon's number of the task; 0 if it never got one.
        report: How its last attempt ended; None when that is not known.
    """

    def __init__(self, message: str, task_id: int = 0, report: ExitReport | None = None) -> None:
        super().__init__(message)
        self.task_id = task_id
        self.report = report

    def __reduce__(self) -> Any:
        return type(self), (self.args[0] if self.args else "", self.task_id, self.report)


class TaskFailed(TaskError):
    """The task raised an exception that could not be sent here or rebuilt here. The text is its own, with its traceback."""


class TaskCrashed(TaskError, RuntimeError):
    """The process that ran the task died. No other task is affected. ``report`` says how it died."""


class TaskOutOfMemory(TaskCrashed, MemoryError):
    """The kernel killed the task's process because memory ran out."""


if sys.version_info >= (3, 11):

    class TaskTimeout(TaskError, TimeoutError):
        """The task took longer than its ``timeout`` or ``queue_timeout``, and was stopped."""

else:

    class TaskTimeout(TaskError, concurrent.futures.TimeoutError, TimeoutError):
        """The task took longer than its ``timeout`` or ``queue_timeout``, and was stopped."""


class TaskCancelled(TaskError, concurrent.futures.CancelledError):
    """The task was cancelled, but not by its future: by another program, with its pool, or by the daemon's end."""


class TaskLost(TaskError, ConnectionError):
    """The connection to the daemon broke while the task was under way, so how it ended is not known."""


class RemoteTraceback(Exception):
    """The cause of an exception that a task raised: where in the worker it was raised."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


_RESOURCE_EXHAUSTED = 8
_CANCELLED = 1
_DEADLINE_EXCEEDED = 4
_UNAVAILABLE = 14
_NOT_FOUND = 5
_ALREADY_EXISTS = 6
_ABORTED = 10


def from_status(code: int, message: str, reason: str = "") -> Exception:
    """The exception for a status of the daemon or of the connection; ``reason`` is the daemon's word for it."""
    if reason == "SEGMENT_MEMORY_FULL":
        return MemoryFull(message, code)
    if code == _RESOURCE_EXHAUSTED:
        return QueueFull(message, code)
    if code == _UNAVAILABLE:
        return DaemonUnavailable(message)
    if code == _DEADLINE_EXCEEDED:
        return TimeoutError(message)
    return RequestRejected(message, code)


def is_missing_pool(code: int) -> bool:
    """Does a submit's rejection with this code mean that its pool is gone?"""
    return code == _NOT_FOUND


def from_unknown_fate(code: int, message: str, reason: str) -> Exception:
    """The exception of a task that was rejected, or whose end will not be known."""
    if code == _UNAVAILABLE:
        return TaskLost(f"{message} (see 'Why did my task run twice?' in the README of the Python client)")
    if code == _CANCELLED:
        return TaskCancelled(message)
    return from_status(code, message, reason)


_BY_STATE: dict[str, tuple[type[TaskError], str]] = {
    "failed": (TaskFailed, ""),
    "crashed": (TaskCrashed, "die"),
    "timed_out": (TaskTimeout, "die"),
    "cancelled": (TaskCancelled, "die"),
}


def from_end(state: str, error: str, task_id: int, report: ExitReport | None) -> TaskError:
    """The exception of a task that ended in ``state``, which is not success."""
    kind, question = _BY_STATE[state]
    if report is not None and report.out_of_memory and kind is TaskCrashed:
        kind = TaskOutOfMemory
    words = [f"task {task_id} {state.replace('_', ' ')}"]
    if error:
        words.append(error)
    if report is not None and report.detail and report.detail not in error:
        words.append(report.detail)
    text = ": ".join(words)
    if report is not None and report.stderr_tail and kind is not TaskFailed:
        text += f"\nthe end of its stderr:\n{report.stderr_tail.rstrip()}"
    if question:
        text += f"\n(see 'Why did my task {question}?' in the README of the Python client)"
    return kind(text, task_id, report)
