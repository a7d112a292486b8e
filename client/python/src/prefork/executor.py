"""``prefork.Executor``: a ``concurrent.futures.Executor`` whose workers are warm and that no crash can break."""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ParamSpec, TypeVar

from . import _client, codec
from .calls import encode_call
from .connection import Connection, Payload
from .core import Core
from .future import Future
from .map import MapRun
from .options import Options
from .output import Output
from .pools import PoolSpec

P = ParamSpec("P")
T = TypeVar("T")

# Templates that one executor keeps.
_MAX_TEMPLATES = 256


class Executor(concurrent.futures.Executor):
    """Runs functions in warm worker processes.

    Everything of ``concurrent.futures.ProcessPoolExecutor`` holds; beyond that, the death of a worker fails one future
    (with ``TaskCrashed``) and nothing else, ``Future.cancel`` stops a running task, and lambdas and functions of
    ``__main__`` work. Workers belong to the daemon: they are shared with other executors and programs that look the same
    (interpreter, ``sys.path``, environment, size), and are still warm when the next program starts.

    Args:
        max_workers: Number of workers; None: as many as there are processors for us.
        mp_context: Is there for code written for ``ProcessPoolExecutor``; ignored.
        initializer: Called in each worker before its first task. The workers then belong to this executor alone.
        initargs: Its arguments.
        max_tasks_per_child: A worker is replaced after so many tasks; None: never.
        pool: Name of a pool of the daemon to use instead; then none of the arguments before may be given.
        preload: Names of modules to import once, before workers are forked.
        address: Of the daemon. None: ``PREFORK_ADDRESS``, else this user's daemon, which is started when there is none.
        max_pending: ``submit`` waits while so many of this executor's tasks are unfinished; None: no bound of its own.
        output: What to do with what tasks write: False: it stays with the daemon (``prefork logs``); True: it appears in
            this program's stdout and stderr; a function is called with ``"stdout"`` or ``"stderr"`` and bytes.

    Raises:
        ValueError: A number is not positive, or arguments exclude each other.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: object = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        max_tasks_per_child: int | None = None,
        pool: str | None = None,
        preload: Iterable[str] = (),
        address: str | None = None,
        max_pending: int | None = None,
        output: bool | Output = False,
    ) -> None:
        for name, number in (
            ("max_workers", max_workers),
            ("max_tasks_per_child", max_tasks_per_child),
            ("max_pending", max_pending),
        ):
            if number is not None and number <= 0:
                raise ValueError(f"{name} must be greater than 0")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        spec: PoolSpec | None = None
        if pool is None:
            spec = PoolSpec.of_this_program(
                max_workers or 0, preload, max_tasks_per_child or 0, initializer, initargs
            )
        elif max_workers is not None or max_tasks_per_child is not None or initializer is not None or preload:
            raise ValueError(
                f"pool={pool!r} names a pool that exists already; leave out max_workers, max_tasks_per_child, "
                "initializer and preload, which would make one"
            )
        self._core = Core(spec or pool or "", address, max_pending, output)
        self._options = Options()
        self._templates: dict[tuple[str, str], _client.Template] = {}
        self._templates_of: Connection | None = None

    def connect(self) -> None:
        """Connects to the daemon and makes the pool, so that the first ``submit`` need not.

        Raises:
            DaemonUnavailable: No daemon answers, and none could be started.
        """
        self._core.connection()

    def options(self, **options: Any) -> Executor:
        """The same executor with other options for tasks; see ``prefork.Options`` for all of them.

        ::

            executor.options(timeout=5, retries=2).submit(download, url)

        Both share workers, tasks and life: shutting one down shuts the other down.

        Raises:
            TypeError: There is no such option.
            ValueError: A value is out of range.
        """
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, _options=self._options.changed(options), _templates={}, _templates_of=None)
        return other

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Schedules ``fn(*args, **kwargs)``, and returns its future at once (but see ``max_pending``).

        What can't be pickled is the future's exception, as in ``ProcessPoolExecutor``.

        Raises:
            RuntimeError: The executor has been shut down.
            DaemonUnavailable: No daemon answers, and none could be started.
        """
        return self._submit(Future(), fn, args, kwargs, "")

    def _submit(
        self, future: Future[Any], fn: Callable[..., Any], args: Any, kwargs: Mapping[str, Any], parameters: str
    ) -> Future[Any]:
        core = self._core
        future._core = core
        try:
            core.begin(future)
            return self._begin(future, fn, args, kwargs, parameters)
        except BaseException:  # Ctrl-C comes anywhere, and nobody would end what was not sent
            core.ended(future)
            raise

    def _begin(
        self, future: Future[Any], fn: Callable[..., Any], args: Any, kwargs: Mapping[str, Any], parameters: str
    ) -> Future[Any]:
        core = self._core
        connection = core.connection()
        try:
            function, encoded = encode_call(fn, args, kwargs, core.context, parameters + self.parameters)
        except Exception as error:
            core.ended(future)
            future.set_exception(error)
            return future
        content_type = encoded.content_type
        # One with a key is compared with others, so it must be the very bytes.
        payload = encoded.joined() if self._options.key else connection.place(encoded)
        future._call = (self, function.name, content_type, payload)
        if self._options.key:
            same = core.same_task(self._options.key, future)
            if same is not future:
                core.ended(future)
                return same
        self._send(future, function.name, content_type, payload)
        return future

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[T]:
        """``map(fn, *iterables)`` on the workers: results in order, each as soon as it and all before it are there.

        Args:
            fn: Takes as many arguments as there are iterables.
            timeout: Seconds from now after which waiting for a result raises ``TimeoutError``.
            chunksize: So many calls make one task. For very short calls; a crash then costs the whole chunk.
            buffersize: Calls that are submitted ahead of the results taken; None: all of them at once.

        Raises:
            ValueError: ``chunksize`` or ``buffersize`` is not positive.
        """
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if buffersize is not None and buffersize < 1:
            raise ValueError("buffersize must be None or > 0")
        deadline = None if timeout is None else time.monotonic() + timeout
        return MapRun(self, fn, zip(*iterables), chunksize, buffersize).ordered(deadline)

    def submit_chunk(self, fn: Callable[..., T], calls: list[tuple[Any, ...]]) -> Future[list[T]]:
        """One task that makes several calls one after the other; its value is the list of theirs.

        Args:
            calls: Argument tuples.
        """
        return self._submit(Future(), fn, calls, {}, codec.CALLS)

    def cancel_all(self, *, force: bool = False) -> None:
        """Cancels every unfinished task that was submitted, running or not; not those of ``map``."""
        self._core.cancel_all(force)

    @property
    def closed(self) -> bool:
        """Has it been shut down?"""
        return self._core.closed

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes no more tasks.

        Args:
            wait: Return when all tasks have ended, the cancelled ones too.
            cancel_futures: Cancel those that do not run yet.
        """
        self._core.shutdown(wait, cancel_futures)

    def _send(self, future: Future[Any], name: str, content_type: str, payload: Payload) -> None:
        connection = self._core.connection()
        spec: _client.Template | dict[str, Any]
        if self._options.one_of_a_kind:
            spec = self.task_spec(name, content_type)
        else:
            spec = self.template(connection, name, content_type)
        connection.submit(future, spec, payload)

    @property
    def parameters(self) -> str:
        """What its options add to the content type of calls."""
        return codec.WRITABLE if self._options.writable else ""

    def task_spec(self, name: str, content_type: str) -> dict[str, Any]:
        """What the daemon is told of a task beside its payload."""
        return {
            **self._options.to_spec(),
            "pool": self._core.pool_name,
            "function": name,
            "content_type": content_type,
        }

    def template(self, connection: Connection, name: str, content_type: str) -> _client.Template:
        """The same, prepared for many tasks."""
        if self._templates_of is not connection:
            self._templates = {}
            self._templates_of = connection
        template = self._templates.get((name, content_type))
        if template is None:
            if len(self._templates) >= _MAX_TEMPLATES:
                self._templates.clear()
            template = connection.native.prepare(self.task_spec(name, content_type))
            self._templates[name, content_type] = template
        return template
