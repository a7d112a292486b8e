"""This process's connections to daemons: one for each address, shared by all executors and threads.

A connection has one thread that takes ends and events from the extension, a batch at a time, and settles futures::

    submit -> _client (gRPC, its own threads) -> daemon
    future <- results thread <- Inbox <- _client

Life. Nothing starts before the first submit. At the interpreter's end executors are shut down and connections closed.
After a fork the child has the memory of the connections and none of their threads; see ``_fork.py``.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
import json
import os
import pickle
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from . import _client, arrays, codec, errors
from .future import Future, Progress

if TYPE_CHECKING:
    from .core import Core

# Tasks that one process may have in flight on one connection; over it submits wait.
MAX_IN_FLIGHT = 65536
_CONNECT_TIMEOUT = 15.0
# How long the interpreter's end waits for calls of other threads.
_CALLS_END_SECONDS = 1.0


# Bytes to be sent, or where they lie in shared memory.
Payload: TypeAlias = "codec.Buffer | _client.Payload"


class Connection:
    """One connection. Thread-safe.

    Args:
        address: Of the daemon; empty: ``PREFORK_ADDRESS``, else the user's own daemon (which is started if there is none),
            else the system's.
        output: Does the daemon send what tasks write?

    Raises:
        DaemonUnavailable: No daemon answers, and none could be started.
    """

    def __init__(self, address: str, output: bool) -> None:
        beside = os.path.dirname(sys.executable) if sys.executable else ""
        self._native = _client.Connection(address, True, beside, output, MAX_IN_FLIGHT, _CONNECT_TIMEOUT)
        self._inbox = self._native.inbox()
        self._futures: dict[int, Future[Any]] = {}
        self._next_key = itertools.count().__next__
        self._closed = False
        self._settling = False  # the results thread is at work, perhaps in a callback
        self._calls = 0  # under way
        self._settled = threading.Condition()
        self.address: str = self._native.address
        self._thread = threading.Thread(target=self._settle_futures, name="prefork-results", daemon=True)
        self._thread.start()

    @property
    def native(self) -> _client.Connection:
        return self._native

    @property
    def usable(self) -> bool:
        """False once it is closed, or the daemon was not to be reached."""
        return not self._closed

    def call(self, method: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Makes one of the daemon's calls with the JSON form of its messages.

        Raises:
            PreforkError: What the daemon objects to.
        """
        with self._call_under_way():
            response: dict[str, Any] = json.loads(self._native.call(method, json.dumps(request)))
        return response

    @contextlib.contextmanager
    def _call_under_way(self) -> Iterator[None]:
        """A fork waits for its end."""
        with self._settled:
            self._calls += 1
        try:
            yield
        finally:
            with self._settled:
                self._calls -= 1
                self._settled.notify_all()

    # Payloads.

    def place(self, encoded: codec.Encoded) -> Payload:
        """Where a call lies for its task: in the ``prefork.array`` that it is about, in a segment, or nowhere yet."""
        if not encoded.buffers and len(encoded.pickled) < codec.OUT_OF_BAND_BYTES:
            return encoded.pickled
        with self._call_under_way():
            placed = arrays.place(self._native, encoded) if encoded.buffers else None
            if placed is not None:
                return placed
            segment = self._native.gather(encoded.parts)
        return encoded.joined() if segment is None else _client.Payload(segment, 0, encoded.size)

    def allocate(self, size: int) -> _client.Segment:
        """Memory that workers see.

        Raises:
            QueueFull: There is no room.
        """
        with self._call_under_way():
            return self._native.allocate(size)

    # Tasks behind futures.

    def submit(self, future: Future[Any], spec: _client.Template | dict[str, Any], payload: Payload) -> None:
        """Sends a task; its end settles the future. Waits while too many are in flight.

        Args:
            spec: A template when other tasks share it.
        """
        key = self._next_key()
        future._key = key
        future._connection = self
        self._futures[key] = future
        try:
            self._inbox.submit(spec, key, payload)
        except BaseException:
            del self._futures[key]
            raise

    def mark_lost(self) -> None:
        """The daemon was not to be reached: the next submit tries a new connection."""
        self._closed = True

    def cancel(self, key: int, force: bool) -> None:
        self._inbox.cancel(key, force)

    def task_id(self, key: int) -> int:
        try:
            return self._inbox.task_id(key, None)
        except errors.RequestRejected:  # it has ended
            future = self._futures.get(key)
            if future is None:
                return 0  # the future has its number already, or never gets one
            if not self.on_results_thread:
                concurrent.futures.wait([future])
            return future._task_id

    def is_running(self, key: int) -> bool:
        try:
            task = self.call("GetTask", {"task_id": self._inbox.task_id(key, None)})
        except errors.PreforkError:
            return False
        return bool(task["state"] == "TASK_STATE_RUNNING")

    # The results thread.

    def _settle_futures(self) -> None:
        take = self._inbox.take
        while items := take(None, False):  # signals are for the main thread
            self._settling = True
            for item in items:
                try:
                    self._handle(item)
                except Exception:  # of a callback or of unpickling; the other futures must not suffer
                    sys.excepthook(*sys.exc_info())
                del item
            items.clear()
            with self._settled:
                self._settling = False
                self._settled.notify_all()

    def _handle(self, item: _client.Item) -> None:
        key, kind = item[0], item[1]
        if kind > 2:
            future = self._futures.get(key)
            if future is not None:
                _tell(future, kind, item)
            return
        future = self._futures.pop(key, None)
        if future is None:
            return
        core: Core = future._core
        if kind == 2 and core.sent_again(future, item[2]):
            return
        future._call = None
        if kind != 2:
            future._task_id = item[4]
            if item[5] is not None:
                future._report = errors.ExitReport.from_dict(item[5])
        elif item[2] == UNAVAILABLE:
            self._closed = True
        try:
            if kind == 0:
                settle(future, value_of(item), None)
            else:
                settle(future, None, error_of(item))
        except Exception as error:
            settle(future, None, error)
        finally:
            core.ended(future)

    # The end.

    def close(self, wait: bool = True) -> None:
        """Ends the connection. The daemon cancels what is unfinished; its futures fail.

        Args:
            wait: Until all futures have been settled and their callbacks have run.
        """
        self._closed = True
        self._native.close()
        self._inbox.close()
        if wait and not self.on_results_thread:
            self._thread.join()

    def abandon(self) -> list[Future[Any]]:
        """In a forked child: lets go of it without touching it, and returns the futures that nobody will settle."""
        self._closed = True
        self._native.abandon()
        futures = list(self._futures.values())
        self._futures.clear()
        return futures

    @property
    def idle(self) -> bool:
        """Has every task ended, and been told of?"""
        return self._native.unfinished == 0 and not self._futures and not self._settling

    def let_settle(self, timeout: float) -> None:
        """When every task has ended, waits until futures have been told and their callbacks have run."""
        if self._native.unfinished == 0 and not self.on_results_thread:
            with self._settled:
                self._settled.wait_for(lambda: self.idle, timeout)

    def let_calls_end(self, timeout: float) -> None:
        """After ``close``: waits for calls of other threads, which use gRPC until they end."""
        with self._settled:
            self._settled.wait_for(lambda: not self._calls, timeout)

    @property
    def on_results_thread(self) -> bool:
        """Is the caller a callback of ours?"""
        return threading.current_thread() is self._thread


UNAVAILABLE = 14


def settle(future: Future[Any], value: Any, error: BaseException | None) -> None:
    """Gives the future its end, unless it was cancelled meanwhile."""
    try:
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)
    except Exception as invalid:
        if not future.done():
            raise invalid


def value_of(item: _client.Item) -> Any:
    """The value of a task that succeeded.

    Raises:
        TaskFailed: It can't be rebuilt here; the cause says why.
    """
    value, content_type = item[2], item[3]
    try:
        if content_type == codec.PICKLE:
            return pickle.loads(value)
        return decode(value, content_type)
    except Exception as error:
        raise errors.TaskFailed(
            f"task {item[4]} succeeded, but its result can't be unpickled here: {type(error).__name__}: {error}", item[4]
        ) from error


def decode(value: codec.Buffer, content_type: str) -> Any:
    """A payload's object."""
    if content_type.startswith(codec.PICKLE):
        return codec.loads(memoryview(value), content_type)
    if content_type.startswith(codec.JSON):
        return json.loads(bytes(value))
    return bytes(value)


def error_of(item: _client.Item) -> BaseException:
    """The exception of a task that did not succeed."""
    if item[1] == 2:
        return errors.from_unknown_fate(*item[2:5])
    value, content_type, task_id, report, state, error = item[2:8]
    kept = None if report is None else errors.ExitReport.from_dict(report)
    if state == "failed" and len(value) != 0:
        try:
            exception, text = decode(value, content_type)[:2]
        except Exception as problem:
            error += f"\n(the exception itself can't be rebuilt here: {type(problem).__name__}: {problem})"
        else:
            if isinstance(exception, BaseException):
                exception.__cause__ = errors.RemoteTraceback(text)
                return exception
    return errors.from_end(state, error, task_id, kept)


def _tell(future: Future[Any], kind: int, item: _client.Item) -> None:
    if kind == 4:
        future._core.write_output(item[2], bytes(item[4]))
    elif kind == 5:
        future.set_progress(Progress(item[2], item[3], item[4]))
    elif kind == 6:
        future.add_part(decode(item[3], item[4]))


_lock = threading.Lock()
_connections: dict[tuple[str, bool], Connection] = {}
# Broken ones whose tasks have not all been settled yet.
_retired: list[Connection] = []


def connect(address: str | None = None, output: bool = False) -> Connection:
    """This process's connection to a daemon; a new one if there is none that works.

    Raises:
        DaemonUnavailable: No daemon answers, and none could be started.
    """
    from . import _exit, _fork

    _fork.check()
    key = (address or "", output)
    with _lock:
        connection = _connections.get(key)
        if connection is None or not connection.usable:
            if connection is not None:
                _retired.append(_connections.pop(key))
            for each in [each for each in _retired if each.idle]:
                _retired.remove(each)
                each.close(wait=False)  # a callback may be waiting for our lock
            connection = _connections[key] = Connection(*key)
            _exit.register()
            _fork.register()
        return connection


def take_all() -> list[Connection]:
    """All connections, which are forgotten here. For who holds the lock, or is alone."""
    connections = [*_connections.values(), *_retired]
    _connections.clear()
    _retired.clear()
    return connections


def every() -> list[Connection]:
    """All connections. For who holds the lock."""
    return [*_connections.values(), *_retired]


def close_all() -> None:
    """Ends all connections, and waits a moment for calls that other threads make on them."""
    with _lock:
        connections = take_all()
    for connection in connections:
        connection.close()
    for connection in connections:
        connection.let_calls_end(_CALLS_END_SECONDS)
