"""``prefork.asyncio.Executor``: the executor for asyncio, whose cancellation reaches the process.

::

    async with Executor() as executor:
        value = await executor.run(function, argument)          # cancelling this stops the process
        async with asyncio.timeout(5):
            await executor.run(slow)                            # so does a time-out
        async for value in executor.map(function, items): ...
"""

from __future__ import annotations

import asyncio
import collections
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any, ParamSpec, TypeVar

from . import executor as _sync
from .future import Future

__all__ = ["Executor"]

P = ParamSpec("P")
T = TypeVar("T")


class Executor:
    """Runs functions in warm worker processes, for coroutines of one event loop.

    Args:
        max_pending: ``run`` and ``map`` wait while so many tasks are unfinished; ``submit`` does not.
        arguments: All others are those of ``prefork.Executor``.
    """

    def __init__(self, max_workers: int | None = None, *, max_pending: int | None = None, **arguments: Any) -> None:
        if max_pending is not None and max_pending <= 0:
            raise ValueError("max_pending must be greater than 0")
        self._executor = _sync.Executor(max_workers, **arguments)
        self._room = None if max_pending is None else asyncio.Semaphore(max_pending)
        self._ahead = max_pending or _AHEAD

    def options(self, **options: Any) -> Executor:
        """The same executor with other options for tasks; see ``prefork.Options``."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, _executor=self._executor.options(**options))
        return other

    async def connect(self) -> None:
        """Connects to the daemon, which may have to be started, without blocking the loop; ``async with`` does it.

        Raises:
            DaemonUnavailable: No daemon answers, and none could be started.
        """
        await asyncio.to_thread(self._executor.connect)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        """Schedules ``fn(*args, **kwargs)``. Cancelling the future stops the process that runs it.

        Raises:
            RuntimeError: The executor has been shut down.
        """
        return asyncio.wrap_future(self._executor.submit(fn, *args, **kwargs))

    async def run(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """The value of ``fn(*args, **kwargs)``, when there is room and it has been computed."""
        if self._room is None:
            return await self.submit(fn, *args, **kwargs)
        async with self._room:
            return await self.submit(fn, *args, **kwargs)

    async def stream(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        """What the task sends with ``prefork.task.emit``, as it comes. Leaving the loop cancels the task."""
        future = self._executor.submit(fn, *args, **kwargs)
        parts = _stream(future)
        try:
            async for part in parts:
                yield part
        finally:
            future.cancel()

    async def map(
        self, fn: Callable[..., T], *iterables: Iterable[Any], buffersize: int | None = None
    ) -> AsyncIterator[T]:
        """The results of ``map(fn, *iterables)`` in order. Leaving the loop cancels the rest.

        Args:
            buffersize: Calls under way or waiting to be taken; None: ``max_pending``, or else 1000.
        """
        calls = zip(*iterables)
        window: collections.deque[asyncio.Future[T]] = collections.deque()
        try:
            self._fill(window, fn, calls, buffersize or self._ahead)
            while window:
                value = await window[0]
                window.popleft()
                self._fill(window, fn, calls, buffersize or self._ahead)
                yield value
        finally:
            for future in window:
                future.cancel()

    def _fill(
        self, window: collections.deque[asyncio.Future[T]], fn: Callable[..., T], calls: Iterator[Any], size: int
    ) -> None:
        while len(window) < size:
            args = next(calls, None)
            if args is None:
                return
            window.append(self.submit(fn, *args))

    async def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes no more tasks; see ``concurrent.futures.Executor.shutdown``."""
        await asyncio.to_thread(self._executor.shutdown, wait, cancel_futures=cancel_futures)

    async def __aenter__(self) -> Executor:
        await self.connect()
        return self

    async def __aexit__(self, kind: object, error: object, traceback: object) -> None:
        await self.shutdown()


_AHEAD = 1000


async def _stream(future: Future[Any]) -> AsyncIterator[Any]:
    """``future.stream()`` for a coroutine."""
    loop = asyncio.get_running_loop()
    news = asyncio.Event()

    def tell() -> None:
        try:
            loop.call_soon_threadsafe(news.set)
        except RuntimeError:
            pass  # the loop has ended

    future.on_part(tell)
    future.add_done_callback(lambda _: tell())
    place = 0
    while True:
        ended = future.done()
        parts = future.parts(place)
        place += len(parts)
        for part in parts:
            yield part
        if ended:
            future.result()
            return
        if not parts:
            await news.wait()
            news.clear()
