"""``Pool``: the standard pool's methods on an ``Executor``. The death of a worker costs the tasks it ran, nothing else."""

from __future__ import annotations

import concurrent.futures
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import TimeoutError
from typing import Any

from .. import _client
from ..executor import Executor
from ..future import Future
from ..map import Failed, MapRun

_RUN, _CLOSE, _TERMINATE = "RUN", "CLOSE", "TERMINATE"

# Tasks that `imap` submits ahead of the results taken, when the iterable does not say how long it is.
_AHEAD = 1000


class Pool:
    """A pool of worker processes; the arguments and methods are those of ``multiprocessing.Pool``.

    Workers are shared with pools and executors that look the same, of this program and others, unless there is an
    initializer.

    Raises:
        ValueError: A number is below 1.
        TypeError: The initializer is not callable.
    """

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        context: object = None,
    ) -> None:
        if processes is None:
            processes = _client.usable_cpus()
        if processes < 1:
            raise ValueError("Number of processes must be at least 1")
        if maxtasksperchild is not None and (not isinstance(maxtasksperchild, int) or maxtasksperchild <= 0):
            raise ValueError("maxtasksperchild must be a positive int or None")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        self._processes = processes
        self._executor = Executor(
            processes, None, initializer, tuple(initargs), max_tasks_per_child=maxtasksperchild, output=True
        )
        self._state = _RUN
        self._iterators: list[IMapIterator] = []

    def apply(self, func: Callable[..., Any], args: Iterable[Any] = (), kwds: dict[str, Any] = {}) -> Any:
        """``func(*args, **kwds)`` in a worker; waits for it."""
        return self.apply_async(func, args, kwds).get()

    def apply_async(
        self,
        func: Callable[..., Any],
        args: Iterable[Any] = (),
        kwds: dict[str, Any] = {},
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult:
        """The same without waiting. Callbacks run in a thread of this program, and must be short."""
        self._check_running()
        return AsyncResult([self._executor.submit(func, *args, **kwds)], None, callback, error_callback)

    def map(self, func: Callable[..., Any], iterable: Iterable[Any], chunksize: int | None = None) -> list[Any]:
        """``[func(item) for item in iterable]``, in workers; waits for all. The first error is raised at the end."""
        self._check_running()
        return self._map(func, [(item,) for item in iterable], chunksize)

    def starmap(self, func: Callable[..., Any], iterable: Iterable[Iterable[Any]], chunksize: int | None = None) -> list[Any]:
        """``[func(*item) for item in iterable]``."""
        self._check_running()
        return self._map(func, [tuple(item) for item in iterable], chunksize)

    def map_async(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Any],
        chunksize: int | None = None,
        callback: Callable[[list[Any]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult:
        """``map`` without waiting."""
        self._check_running()
        return self._map_async(func, [(item,) for item in iterable], chunksize, callback, error_callback)

    def starmap_async(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callable[[list[Any]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult:
        """``starmap`` without waiting."""
        self._check_running()
        return self._map_async(func, [tuple(item) for item in iterable], chunksize, callback, error_callback)

    def imap(self, func: Callable[..., Any], iterable: Iterable[Any], chunksize: int = 1) -> IMapIterator:
        """An iterator over the results in order. Each is raised or returned for itself; an error does not end it."""
        return self._imap(func, iterable, chunksize, ordered=True)

    def imap_unordered(self, func: Callable[..., Any], iterable: Iterable[Any], chunksize: int = 1) -> IMapIterator:
        """The same, as they come."""
        return self._imap(func, iterable, chunksize, ordered=False)

    def close(self) -> None:
        """Takes no more tasks; those it has go on."""
        if self._state == _RUN:
            self._state = _CLOSE

    def terminate(self) -> None:
        """Stops at once: tasks that have not ended are cancelled, running ones too."""
        self._state = _TERMINATE
        for iterator in self._iterators:
            iterator.stop()
        self._executor.cancel_all()
        self._executor.shutdown(wait=False)

    def join(self) -> None:
        """Waits until all tasks have ended.

        Raises:
            ValueError: The pool has not been closed or terminated.
        """
        if self._state == _RUN:
            raise ValueError("Pool is still running")
        for iterator in self._iterators:
            iterator.finish()
        self._executor.shutdown(wait=True)

    def __enter__(self) -> Pool:
        self._check_running()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.terminate()

    def __del__(self) -> None:
        if getattr(self, "_state", None) == _RUN:
            warnings.warn(f"unclosed running multiprocessing pool {self!r}", ResourceWarning, source=self)

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__qualname__} state={self._state} pool_size={self._processes}>"

    def __reduce__(self) -> Any:
        raise NotImplementedError("pool objects cannot be passed between processes or pickled")

    def _check_running(self) -> None:
        if self._state != _RUN:
            raise ValueError("Pool not running")

    def _chunksize(self, calls: list[Any], chunksize: int | None) -> int:
        if chunksize is None:
            return max(1, -(-len(calls) // (self._processes * 4)))
        return max(1, chunksize)

    def _map(self, func: Callable[..., Any], calls: list[tuple[Any, ...]], chunksize: int | None) -> list[Any]:
        size = self._chunksize(calls, chunksize)
        run: MapRun[Any] = MapRun(self._executor, func, iter(calls), size, None)
        values: list[Any] = []
        first_error: BaseException | None = None
        while True:
            try:
                result = run.next_ended(ordered=True, deadline=None)
            except StopIteration:
                break
            if type(result) is Failed:
                first_error = first_error or result.error
            elif size == 1:
                values.append(result)
            else:
                values.extend(result)
        if first_error is not None:
            raise first_error
        return values

    def _map_async(
        self,
        func: Callable[..., Any],
        calls: list[tuple[Any, ...]],
        chunksize: int | None,
        callback: Callable[[Any], object] | None,
        error_callback: Callable[[BaseException], object] | None,
    ) -> AsyncResult:
        size = self._chunksize(calls, chunksize)
        chunks = [calls[place : place + size] for place in range(0, len(calls), size)]
        futures = [self._executor.submit_chunk(func, chunk) for chunk in chunks]
        return AsyncResult(futures, size, callback, error_callback)

    def _imap(self, func: Callable[..., Any], iterable: Iterable[Any], chunksize: int, ordered: bool) -> IMapIterator:
        self._check_running()
        if chunksize < 1:
            raise ValueError(f"Chunksize must be 1+, not {chunksize:n}")
        ahead = None if hasattr(iterable, "__len__") else _AHEAD * chunksize
        run: MapRun[Any] = MapRun(self._executor, func, ((item,) for item in iterable), chunksize, ahead)
        iterator = IMapIterator(run, ordered, chunksize != 1)
        self._iterators = [each for each in self._iterators if not each.finished]
        self._iterators.append(iterator)
        return iterator


class AsyncResult:
    """The result of ``apply_async``, ``map_async`` and ``starmap_async``.

    Args:
        futures: Whose values it is made of.
        chunksize: None: it is the value of the only future; else they are lists that it joins.
    """

    def __init__(
        self,
        futures: list[Future[Any]],
        chunksize: int | None,
        callback: Callable[[Any], object] | None,
        error_callback: Callable[[BaseException], object] | None,
    ) -> None:
        self._futures = futures
        self._single = chunksize is None
        self._callback = callback
        self._error_callback = error_callback
        self._lock = threading.Lock()
        self._left = len(futures)
        self._error: BaseException | None = None
        self._event = threading.Event()
        if not futures:
            self._finish()
        for future in futures:
            future.add_done_callback(self._one_ended)

    def ready(self) -> bool:
        """Has all of it ended?"""
        return self._event.is_set()

    def successful(self) -> bool:
        """Did it end without an error?

        Raises:
            ValueError: It has not ended.
        """
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        return self._error is None

    def wait(self, timeout: float | None = None) -> None:
        """Waits until it has ended, or ``timeout`` seconds."""
        self._event.wait(timeout)

    def get(self, timeout: float | None = None) -> Any:
        """The value.

        Raises:
            TimeoutError: multiprocessing's, after ``timeout`` seconds.
            Exception: The first error of a call.
        """
        self.wait(timeout)
        if not self.ready():
            raise TimeoutError
        if self._error is not None:
            raise self._error
        return self._value()

    def _value(self) -> Any:
        if self._single:
            return self._futures[0].result()
        return [value for future in self._futures for value in future.result()]

    def _one_ended(self, future: Any) -> None:
        error: BaseException | None
        try:
            error = future.exception()
        except BaseException as cancelled:
            error = cancelled
        with self._lock:
            self._left -= 1
            self._error = self._error or error
            last = self._left == 0
        if last:
            self._finish()

    def _finish(self) -> None:
        try:
            if self._error is None and self._callback is not None:
                self._callback(self._value())
            elif self._error is not None and self._error_callback is not None:
                self._error_callback(self._error)
        finally:
            self._event.set()


class IMapIterator(Iterator[Any]):
    """The iterator of ``imap`` and ``imap_unordered``."""

    def __init__(self, run: MapRun[Any], ordered: bool, chunked: bool) -> None:
        self._run = run
        self._ordered = ordered
        self._chunked = chunked
        self._chunk: Iterator[Any] = iter(())
        self.finished = False

    def __next__(self) -> Any:
        return self.next()

    def next(self, timeout: float | None = None) -> Any:
        """The next result.

        Raises:
            StopIteration: There are no more.
            TimeoutError: multiprocessing's, after ``timeout`` seconds.
            Exception: The error of this call, or of the chunk that it belongs to.
        """
        for value in self._chunk:
            return value
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            result = self._run.next_ended(self._ordered, deadline)
        except StopIteration:
            self.finished = True
            raise
        except concurrent.futures.TimeoutError:
            raise TimeoutError from None
        if type(result) is Failed:
            raise result.error
        if not self._chunked:
            return result
        self._chunk = iter(result)
        return self.next(timeout)

    def stop(self) -> None:
        """Cancels what has not ended."""
        self._run.close()

    def finish(self) -> None:
        """Waits until all calls have ended."""
        self._run.wait()
