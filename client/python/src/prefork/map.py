"""One run of ``Executor.map``: submits calls, and gives their results back in order or as they come.

Results do not go through futures and the results thread. Each run has an inbox of its own, and the thread that asks for
the next result takes all that have gathered.
"""

from __future__ import annotations

import collections
import concurrent.futures
import itertools
import pickle
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from . import codec, errors
from .calls import encode_arguments
from .connection import UNAVAILABLE, error_of, value_of
from .functions import describe

if TYPE_CHECKING:
    from .connection import Payload
    from .executor import Executor

T = TypeVar("T")


class Failed:
    """Stands where a value would."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


_UNFINISHED = object()
_GIVEN = object()


class MapRun(Generic[T]):
    """One run.

    Args:
        executor: With the options of the tasks.
        fn: The function.
        calls: Argument tuples.
        chunksize: So many calls make one task.
        buffersize: Submit so many calls ahead of the results taken; None: all of them, here and now.

    Raises:
        RuntimeError: The executor has been shut down.
        Exception: What pickling the function raises.
    """

    def __init__(
        self,
        executor: Executor,
        fn: Callable[..., T],
        calls: Iterator[tuple[Any, ...]],
        chunksize: int,
        buffersize: int | None,
    ) -> None:
        if executor._options.key:
            raise ValueError(f"key={executor._options.key!r} would make all calls of a map the same task")
        self._executor = executor
        self._function = describe(fn)
        self._calls = calls
        self._chunksize = chunksize
        self._core = executor._core
        self._core.begin_run(self)
        self._connection = self._core.connection()
        self._inbox = self._connection.native.inbox()
        # By key. A call is kept until it has ended, to send it again.
        self._sent: list[tuple[str, Payload] | None] = []
        self._results: list[Any] = []
        self._place = 0  # results given by next_ended
        self._ended: collections.deque[int] = collections.deque()  # for it, out of order
        self._template: tuple[str, Any] = ("", None)
        self._exhausted = False
        self._broken: BaseException | None = None
        ahead = buffersize if buffersize is not None else self._core.max_pending
        try:
            self._submit(None if ahead is None else -(-ahead // chunksize))
        except BaseException:
            self.close()
            raise

    def ordered(self, deadline: float | None) -> Iterator[T]:
        """The results in the order of the calls; the first failure is raised and ends it.

        Args:
            deadline: A time of ``time.monotonic()``; after it waiting raises ``TimeoutError``.
        """
        return _primed(self._ordered(deadline))

    def next_ended(self, ordered: bool, deadline: float | None) -> Any:
        """The end of the next task: its value (of a chunk: a list), or a ``Failed``.

        Args:
            ordered: In the order of the calls; else the one that has ended first of those not given yet.

        Raises:
            StopIteration: There are no more.
            TimeoutError: None came before the deadline.
        """
        if ordered:
            if self._place == len(self._results):
                raise StopIteration
            while self._results[self._place] is _UNFINISHED:
                self._take(deadline)
            key = self._place
        else:
            while not self._ended:
                if self._place == len(self._results):
                    raise StopIteration
                self._ended.extend(self._take(deadline))
            key = self._ended.popleft()
        result, self._results[key] = self._results[key], _GIVEN
        self._place += 1
        if not self._exhausted:
            self._submit(1)
        return result

    def close(self) -> None:
        """Submits no more, and cancels what has not ended."""
        self._exhausted = True
        self._inbox.cancel_all(False)

    def fail(self, error: BaseException) -> None:
        """Ends all that has not ended with ``error``."""
        self._broken = error
        self.close()

    def wait(self) -> None:
        """Submits the rest, and waits until all tasks have ended."""
        self._submit(None)
        self._inbox.wait_all(None)

    # Submitting.

    def _submit(self, count: int | None) -> None:
        """Submits ``count`` tasks, or all."""
        if self._exhausted:
            return
        before = len(self._sent)
        if self._chunksize == 1:
            for args in itertools.islice(self._calls, count):
                self._submit_task(args, "")
        else:
            for _ in itertools.count() if count is None else range(count):
                chunk = list(itertools.islice(self._calls, self._chunksize))
                if not chunk:
                    break
                self._submit_task(chunk, codec.CALLS)
        if count is None or len(self._sent) - before < count:
            self._exhausted = True

    def _submit_task(self, args: Any, parameters: str) -> None:
        key = len(self._sent)
        try:
            content_type, payload = self._encode(args, parameters)
        except Exception as error:
            self._sent.append(None)
            self._results.append(Failed(error))
            self._ended.append(key)
            return
        self._sent.append((content_type, payload))
        self._results.append(_UNFINISHED)
        self._send(key, content_type, payload)

    def _encode(self, args: Any, parameters: str) -> tuple[str, Payload]:
        parameters += self._executor.parameters
        encoded = encode_arguments(self._function, args, {}, self._core.context, parameters)
        return encoded.content_type, self._connection.place(encoded)

    def _send(self, key: int, content_type: str, payload: Payload) -> None:
        if self._template[0] != content_type:
            template = self._executor.template(self._connection, self._function.name, content_type)
            self._template = (content_type, template)
        self._inbox.submit(self._template[1], key, payload)

    # Results.

    def _take(self, deadline: float | None) -> list[int]:
        """Waits for ends, files them, and says whose they are."""
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        items = self._inbox.take(timeout)
        if not items:
            if self._connection.usable:
                raise concurrent.futures.TimeoutError()
            raise errors.TaskLost("the connection was closed while the map was under way")
        keys = []
        for item in items:
            key, kind = item[0], item[1]
            if kind == 0:
                self._results[key] = _value(item)
            elif kind > 2:
                if kind == 4:
                    self._core.write_output(item[2], bytes(item[4]))
                continue
            elif kind == 2 and self._sent_again(key, item[2]):
                continue
            else:
                self._results[key] = Failed(self._broken or error_of(item))
            self._sent[key] = None
            keys.append(key)
        return keys

    def _sent_again(self, key: int, code: int) -> bool:
        """After a rejection: makes the pool once more if it is gone, and sends the task to it."""
        sent = self._sent[key]
        if code == UNAVAILABLE:
            self._connection.mark_lost()
        if sent is None or not errors.is_missing_pool(code) or not self._core.make_pool_again():
            return False
        self._sent[key] = None  # once is enough
        self._send(key, *sent)
        return True

    def _ordered(self, deadline: float | None) -> Iterator[Any]:
        results = self._results
        chunked = self._chunksize != 1
        place = 0
        try:
            yield
            while place < len(results):
                while (result := results[place]) is _UNFINISHED:
                    self._take(deadline)
                results[place] = _GIVEN
                place += 1
                if not self._exhausted:
                    self._submit(1)
                if type(result) is Failed:
                    raise result.error
                if chunked:
                    yield from result
                else:
                    yield result
        finally:
            self.close()


def _primed(generator: Iterator[Any]) -> Iterator[Any]:
    """Enters the generator, so that dropping it unused runs its end, too."""
    next(generator)
    return generator


def _value(item: Any) -> Any:
    if item[3] == codec.PICKLE:
        try:
            return pickle.loads(item[2])
        except Exception:
            pass  # once more, for its words
    try:
        return value_of(item)
    except Exception as error:
        return Failed(error)
