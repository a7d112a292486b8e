"""What an executor and its ``options()`` share.

Three things. The pool: made on first use, made again when the daemon has dropped it, deleted at the end if it is ours
alone. The tasks that are unfinished: they are waited for, cancelled or failed together. The end: after ``shutdown`` no
task begins, and the interpreter's end waits for those of every executor.
"""

from __future__ import annotations

import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

from . import errors
from .connection import Connection, connect
from .future import Future
from .output import Output, write_output
from .pools import PoolSpec
from .startwatch import watch_start

if TYPE_CHECKING:
    from .map import MapRun

# How long the workers of a pool that is just being deleted may take to end.
_DELETION_SECONDS = 20


class Core:
    """One for each executor.

    Args:
        pool: To be made, or the name of one that exists.
        address: Of the daemon; see ``Executor``, as for the others.
        max_pending: How many tasks may be unfinished.
        output: What to do with what tasks write.
    """

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
        self._unfinished.add(future)  # from here on `ended` gives the room back
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
        """Its task has ended, and its process no longer works for it. Once counts."""
        try:
            self._unfinished.remove(future)
        except KeyError:
            return
        if self._slots is not None:
            self._slots.release()
        if self._closed and not self._unfinished:
            self.drained.set()

    def write_output(self, is_stderr: bool, data: bytes) -> None:
        """A task has written something."""
        write_output(self._output, is_stderr, data)

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


_cores: weakref.WeakSet[Core] = weakref.WeakSet()


def shut_down_all() -> None:
    """At the interpreter's end: waits for the tasks of every executor, as the standard executors do."""
    for core in list(_cores):
        core.shutdown(wait=True, cancel_futures=False)
