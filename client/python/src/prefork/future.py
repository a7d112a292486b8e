"""The future of a task: a ``concurrent.futures.Future`` that can also stop, stream and tell."""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from .errors import ExitReport

if TYPE_CHECKING:
    from .connection import Connection, Payload
    from .core import Core
    from .executor import Executor

T = TypeVar("T")


class Progress(NamedTuple):
    """What a task last said with ``prefork.task.progress``."""

    done: float
    total: float
    text: str


class Future(concurrent.futures.Future[T], Generic[T]):
    """What ``Executor.submit`` returns.

    Everything of ``concurrent.futures.Future`` holds, except that ``cancel`` stops a running task, too.
    """

    # Set by whoever sends the task. `_call` is kept until it has ended, to send it again.
    _core: Core
    _call: tuple[Executor, str, str, Payload] | None = None
    _connection: Connection | None = None
    _key = -1
    _task_id = 0
    _report: ExitReport | None = None
    _progress: Progress | None = None
    _parts: list[Any] | None = None
    _on_progress: Callable[[Progress], object] | None = None
    _on_part: Callable[[], object] | None = None

    def cancel(self, *, force: bool = False) -> bool:
        """Cancels the task, also when it runs: its processes get SIGTERM, and SIGKILL after the pool's grace.

        Args:
            force: Send SIGKILL at once.

        Returns:
            False if the task has ended already; else True, and the future is cancelled from now on. The processes
            end within milliseconds; ``Executor.shutdown`` waits for that.
        """
        if not super().cancel():
            return False
        if self._state == "CANCELLED":
            self.set_running_or_notify_cancel()  # wait() and as_completed() hear of it now
        if self._connection is not None:
            self._connection.cancel(self._key, force)
        return True

    def running(self) -> bool:
        """Is the task running now? Asks the daemon."""
        if self.done() or self._connection is None:
            return False
        return self._connection.is_running(self._key)

    @property
    def task_id(self) -> int:
        """The daemon's number of the task, as ``prefork show`` takes it. Waits until the daemon has accepted it."""
        if self._task_id == 0 and self._connection is not None:
            self._task_id = self._connection.task_id(self._key)
        return self._task_id

    @property
    def report(self) -> ExitReport | None:
        """How the task's last attempt ended; None before that, and for most successes."""
        return self._report

    @property
    def progress(self) -> Progress | None:
        """What the task last said about its progress."""
        return self._progress

    def on_progress(self, callback: Callable[[Progress], object]) -> None:
        """Has ``callback`` called with each progress of the task from now on. It must be short: it holds results up."""
        self._on_progress = callback

    def stream(self, timeout: float | None = None) -> Iterator[Any]:
        """Yields what the task sends with ``prefork.task.emit``, as it comes, from the first on.

        Ends when the task has ended well. A retried task sends its parts again.

        Args:
            timeout: Seconds to wait for the next part or the end.

        Raises:
            TimeoutError: Neither came in time.
            Exception: What ``result()`` raises.
        """
        place = 0
        while True:
            deadline = None if timeout is None else time.monotonic() + timeout
            with self._condition:
                while self._parts is None or place >= len(self._parts):
                    if self.done_locked():
                        break
                    remaining = None if deadline is None else deadline - time.monotonic()
                    if remaining is not None and remaining <= 0:
                        raise concurrent.futures.TimeoutError()
                    self._condition.wait(remaining)
                parts = [] if self._parts is None else self._parts[place:]
            if not parts:
                self.result()
                return
            place += len(parts)
            yield from parts

    def parts(self, start: int = 0) -> list[Any]:
        """What the task has sent so far with ``prefork.task.emit``, from number ``start`` on."""
        with self._condition:
            return [] if self._parts is None else self._parts[start:]

    def on_part(self, callback: Callable[[], object]) -> None:
        """Has ``callback`` called, without arguments, whenever a part has come. It must be short."""
        self._on_part = callback

    def done_locked(self) -> bool:
        """``done()`` for who holds the condition."""
        return self._state not in ("PENDING", "RUNNING")

    def fail(self, error: BaseException) -> None:
        """Ends it with ``error``, and cancels its task; does nothing when it has ended."""
        with self._condition:
            if self.done_locked():
                return
        try:
            self.set_exception(error)
        except concurrent.futures.InvalidStateError:
            return  # it has ended meanwhile
        if self._connection is not None:
            self._connection.cancel(self._key, False)

    # What the connection's thread tells.

    def add_part(self, value: Any) -> None:
        with self._condition:
            if self._parts is None:
                self._parts = []
            self._parts.append(value)
            self._condition.notify_all()
        if self._on_part is not None:
            self._on_part()

    def set_progress(self, progress: Progress) -> None:
        self._progress = progress
        if self._on_progress is not None:
            self._on_progress(progress)
