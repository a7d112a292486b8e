"""``prefork.Executor``: a ``concurrent.futures.Executor`` whose workers are warm and that no crash can break."""

from __future__ import annotations

import concurrent.futures
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, ParamSpec, TypeVar

from . import _client, codec, errors
from .connection import Connection, connect
from .functions import Function, describe
from .future import Future
from .map import MapRun
from .options import Options
from .pools import PoolSpec
from .startwatch import watch_start

P = ParamSpec("P")
T = TypeVar("T")

Output = Callable[[Literal["stdout", "stderr"], bytes], object]


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
        core.begin(future)
        try:
            core.connection()
        except BaseException:
            core.ended(future)
            raise
        try:
            function, content_type, payload = encode_call(fn, args, kwargs, core.context, parameters)
        except Exception as error:
            core.ended(future)
            future.set_exception(error)
            return future
        future._call = (self, function.name, content_type, payload)
        if self._options.key:
            same = core.same_task(self._options.key, future)
            if same is not future:
                core.ended(future)
                return same
        try:
            self._send(future, function.name, content_type, payload)
        except BaseException:
            core.ended(future)
            raise
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

    def _send(self, future: Future[Any], name: str, content_type: str, payload: codec.Buffer) -> None:
        connection = self._core.connection()
        if self._options.one_of_a_kind:
            connection.submit_one(future, self.task_spec(name, content_type), payload)
        else:
            connection.submit(future, self.template(connection, name, content_type), payload)

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


_MAX_TEMPLATES = 256
# How long the workers of a pool that is just being deleted may take to end.
_DELETION_SECONDS = 20


def encode_call(
    fn: Callable[..., Any],
    args: Iterable[Any],
    kwargs: Mapping[str, Any],
    context: tuple[dict[str, str], ...] = (),
    parameters: str = "",
) -> tuple[Function, str, codec.Buffer]:
    """The function, and the content type and payload of a call of it in ``context`` (see ``Core.context``).

    Raises:
        Exception: What pickling raises.
    """
    function = describe(fn)
    content_type, payload = encode_arguments(function, args, kwargs, context, parameters)
    return function, content_type, payload


def encode_arguments(
    function: Function,
    args: Iterable[Any],
    kwargs: Mapping[str, Any],
    context: tuple[dict[str, str], ...] = (),
    parameters: str = "",
) -> tuple[str, codec.Buffer]:
    """Content type and payload of a call.

    Raises:
        Exception: What pickling raises.
    """
    if function.by_value:
        call: tuple[Any, ...] = (function.digest, function.pickled, args, kwargs, *context)
    else:
        call = (args, kwargs, *context)
    encoded = codec.dumps(call, parameters)
    payload = encoded.parts[0] if len(encoded.parts) == 1 else b"".join(encoded.parts)
    return encoded.content_type, payload


class Core:
    """What an executor and its ``options()`` share: the pool, the tasks that are unfinished, the end."""

    def __init__(self, pool: PoolSpec | str, address: str | None, max_pending: int | None, output: bool | Output) -> None:
        self._spec = pool if isinstance(pool, PoolSpec) else None
        self.pool_name = pool.name if isinstance(pool, PoolSpec) else pool
        # What calls say of themselves beside their arguments: our directory, when the pool's is another.
        self.context: tuple[dict[str, str], ...] = ()
        self._address = address
        self._output = output
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self.max_pending = max_pending
        self._slots = None if max_pending is None else threading.BoundedSemaphore(max_pending)
        self._unfinished: set[Future[Any]] = set()
        self._runs: weakref.WeakSet[MapRun[Any]] = weakref.WeakSet()
        self._keyed: weakref.WeakValueDictionary[str, Future[Any]] = weakref.WeakValueDictionary()
        self._closed = False
        self.drained = threading.Event()
        _cores.add(self)

    def connection(self) -> Connection:
        """The connection, after making sure that the pool exists."""
        connection = self._connection
        if connection is not None and connection.usable:
            return connection
        with self._lock:
            connection = connect(self._address, bool(self._output))
            self._make_pool(connection)
            self._connection = connection
        return connection

    def _make_pool(self, connection: Connection) -> None:
        if self._spec is None:
            return
        pool = self._get_pool(connection)
        deadline = time.monotonic() + _DELETION_SECONDS
        while pool is None or pool["state"] == "POOL_STATE_DELETED":
            try:
                pool = connection.call("CreatePool", self._spec.to_message(connection.address))
            except errors.RequestRejected as error:
                if error.already_exists:  # another program was faster
                    pool = connection.call("GetPool", {"name": self.pool_name})
                elif error.being_deleted and time.monotonic() < deadline:
                    time.sleep(0.01)
                else:
                    raise
        self.context = () if pool["spec"]["cwd"] == self._spec.cwd else ({"cwd": self._spec.cwd},)
        if pool["state"] != "POOL_STATE_READY" or self._spec.private:
            watch_start(self, connection)

    def _get_pool(self, connection: Connection) -> dict[str, Any] | None:
        try:
            pool: dict[str, Any] = connection.call("GetPool", {"name": self.pool_name})
        except errors.RequestRejected as error:
            if not error.not_found:
                raise
            return None
        return pool

    def forget_connection(self) -> None:
        """Has the next submit look at the pool again."""
        self._connection = None

    def sent_again(self, future: Future[Any], code: int) -> bool:
        """Called for a rejected task: makes the pool once more if it is gone, and submits the task to it."""
        if not errors.is_missing_pool(code) or future._call is None or future.done():
            return False
        executor, name, content_type, payload = future._call
        future._call = None  # once is enough
        if not self.make_pool_again():
            return False
        try:
            executor._send(future, name, content_type, payload)
        except errors.PreforkError:
            return False
        return True

    def make_pool_again(self) -> bool:
        """Makes the pool if it has gone. False: that is not up to us, or impossible."""
        if self._spec is None:
            return False
        try:
            with self._lock:
                self._make_pool(connect(self._address, bool(self._output)))
        except errors.PreforkError:
            return False
        return True

    def same_task(self, key: str, future: Future[Any]) -> Future[Any]:
        """The unfinished future of an equal call with this key, if there is one: a session follows a task once."""
        same = self._keyed.get(key)
        if same is not None and same._call is not None and same._call[1:] == future._call[1:]:  # type: ignore[index]
            return same
        self._keyed[key] = future
        return future

    def begin(self, future: Future[Any]) -> None:
        """A task comes. Waits for room.

        Raises:
            RuntimeError: After shutdown.
        """
        if self._slots is not None:
            self._slots.acquire()
        self._unfinished.add(future)
        if self._closed:
            self.ended(future)
            raise RuntimeError("cannot schedule new futures after shutdown")

    def begin_run(self, run: MapRun[Any]) -> None:
        """A map comes.

        Raises:
            RuntimeError: After shutdown.
        """
        if self._closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        self._runs.add(run)

    def ended(self, future: Future[Any]) -> None:
        """Its task has ended, and its process no longer works for it."""
        self._unfinished.discard(future)
        if self._slots is not None:
            self._slots.release()
        if self._closed and not self._unfinished:
            self.drained.set()

    def write_output(self, is_stderr: bool, data: bytes) -> None:
        """A task has written something."""
        if callable(self._output):
            self._output("stderr" if is_stderr else "stdout", data)
        elif self._output:
            write_through(sys.stderr if is_stderr else sys.stdout, data)

    def shutdown(self, wait: bool, cancel_futures: bool) -> None:
        """See Executor.shutdown."""
        self._closed = True
        if not self._unfinished:
            self.drained.set()
        if cancel_futures:
            self._cancel_waiting()
        if not wait:
            return
        self.drained.wait()
        for run in list(self._runs):
            run.wait()
        if self._spec is not None and self._spec.private:
            self._delete_pool()

    @property
    def closed(self) -> bool:
        """Has it been shut down?"""
        return self._closed

    @property
    def private(self) -> bool:
        """Does the pool belong to this executor alone?"""
        return self._spec is not None and bool(self._spec.private)

    def fail_all(self, error: BaseException) -> None:
        """Ends all unfinished tasks with ``error``: their pool can't run them."""
        for future in list(self._unfinished):
            future.fail(error)
        for run in list(self._runs):
            run.fail(error)

    def cancel_all(self, force: bool) -> None:
        """Cancels every unfinished task, running or not."""
        for future in list(self._unfinished):
            future.cancel(force=force)

    def _cancel_waiting(self) -> None:
        futures = list(self._unfinished)
        if not futures or self._connection is None:
            return
        try:
            workers = self._connection.call("ListWorkers", {"pool": self.pool_name})["workers"]
            running = {int(worker["task_id"]) for worker in workers}
        except errors.PreforkError:
            running = set()
        for future in futures:
            if future.task_id not in running:
                future.cancel()

    def _delete_pool(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and connection.usable:
            try:
                connection.call("DeletePool", {"name": self.pool_name, "force": True})
            except errors.PreforkError:
                pass  # the daemon is gone, and with it the pool


def write_through(stream: Any, data: bytes) -> None:
    """Writes to a text stream of this program as if the bytes had been written by it."""
    if stream is None:
        return
    raw = getattr(stream, "buffer", None)
    if raw is None:
        stream.write(data.decode(errors="replace"))
    else:
        stream.flush()
        raw.write(data)
    stream.flush()


_cores: weakref.WeakSet[Core] = weakref.WeakSet()


def shut_down_all() -> None:
    """At the interpreter's end: waits for the tasks of every executor, as the standard executors do."""
    for core in list(_cores):
        core.shutdown(wait=True, cancel_futures=False)
