"""``Process``: a dedicated task, so a fresh process of its own that ends with it, and a real exit code."""

from __future__ import annotations

import concurrent.futures
import itertools
import os
import select
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .. import _exit, errors, task, worker
from ..executor import Executor
from ..future import Future
from ..pools import PoolSpec


class Process:
    """An activity that runs in a process of its own.

    Args:
        group: Always None.
        target: Called by ``run``.
        name: For people; default "Process-N".
        args: The target's arguments.
        kwargs: The target's named arguments.
        daemon: Terminate it when this program ends, instead of waiting for it. None: as the current process.
    """

    def __init__(
        self,
        group: None = None,
        target: Callable[..., object] | None = None,
        name: str | None = None,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] = {},
        *,
        daemon: bool | None = None,
    ) -> None:
        assert group is None, "group argument must be None for now"
        parent = current_process()
        self._identity: tuple[int, ...] = (*parent._identity, next(_counter))
        self._parent_pid = os.getpid()
        self._parent_name = parent.name
        self._target = target
        self._args = tuple(args)
        self._kwargs = dict(kwargs)
        self._name = name or type(self).__name__ + "-" + ":".join(map(str, self._identity))
        self._daemon = parent.daemon if daemon is None else bool(daemon)
        self._run: _Run | None = None
        self._closed = False

    def run(self) -> None:
        """What the process does; a subclass may replace it."""
        if self._target is not None:
            self._target(*self._args, **self._kwargs)

    def start(self) -> None:
        """Starts the process. Once only.

        Raises:
            AssertionError: It was started already, or this process is a daemonic one.
            Exception: What pickling the process (target, arguments) raises.
            DaemonUnavailable: No daemon answers, and none could be started.
        """
        self._check_closed()
        assert self._run is None, "cannot start a process twice"
        assert self._parent_pid == os.getpid(), "can only start a process object created by current process"
        assert not current_process().daemon, "daemonic processes are not allowed to have children"
        self._run = _Run(self)
        _children.add(self)
        # The arguments are with the child now; nothing of ours should keep them alive.
        del self._target, self._args, self._kwargs

    def terminate(self) -> None:
        """Sends SIGTERM to the process and what it has started."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Sends SIGKILL to the process and what it has started."""
        self._signal(signal.SIGKILL)

    def join(self, timeout: float | None = None) -> None:
        """Waits until the process has ended, and its output has appeared.

        Args:
            timeout: Seconds; None: for ever. See ``exitcode`` for whether it has ended. Below zero is zero.
        """
        run = self._started("join")
        if run.wait(timeout):
            _children.discard(self)

    def is_alive(self) -> bool:
        """Has the process been started, and not ended yet?"""
        self._check_closed()
        if self is current_process():
            return True
        if self._run is None:
            return False
        assert self._parent_pid == os.getpid(), "can only test a child process"
        if self._run.exitcode is None:
            return True
        _children.discard(self)
        return False

    def close(self) -> None:
        """Lets go of everything; later calls raise ValueError.

        Raises:
            ValueError: The process is running.
        """
        if self._run is not None:
            if self._run.exitcode is None:
                raise ValueError(
                    "Cannot close a process while it is still running. You should first call join() or terminate()."
                )
            self._run.close()
            _children.discard(self)
        self._closed = True

    @property
    def name(self) -> str:
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        assert isinstance(name, str), "name must be a string"
        self._name = name

    @property
    def daemon(self) -> bool:
        """Is it terminated at this program's end?"""
        return self._daemon

    @daemon.setter
    def daemon(self, daemon: bool) -> None:
        assert self._run is None, "process has already started"
        self._daemon = bool(daemon)

    @property
    def exitcode(self) -> int | None:
        """None before the end; then the exit code, or -N for signal N."""
        self._check_closed()
        return None if self._run is None else self._run.exitcode

    @property
    def pid(self) -> int | None:
        """The process's number; None before the start. Waits until it is running."""
        self._check_closed()
        if self is current_process():
            return os.getpid()
        return None if self._run is None else self._run.pid()

    ident = pid

    @property
    def sentinel(self) -> int:
        """A file descriptor that becomes readable when the process ends.

        Raises:
            ValueError: The process has not been started.
        """
        self._check_closed()
        if self._run is None:
            raise ValueError("process not started")
        return self._run.sentinel

    @property
    def authkey(self) -> bytes:
        """The standard module's key; it is not used here."""
        import multiprocessing

        return bytes(multiprocessing.current_process().authkey)

    def __repr__(self) -> str:
        if self._closed:
            state = "closed"
        elif self is current_process():
            state = "started"
        elif self._run is None:
            state = "initial"
        elif self._run.exitcode is None:
            state = "started"
        else:
            code = self._run.exitcode
            state = f"stopped exitcode={code if code >= 0 else '-' + signal.Signals(-code).name}"
        daemon = " daemon" if self._daemon else ""
        return f"<{type(self).__name__} name={self._name!r} parent={self._parent_pid} {state}{daemon}>"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_run": None}

    def _check_closed(self) -> None:
        if self._closed:
            raise ValueError("process object is closed")

    def _started(self, what: str) -> _Run:
        self._check_closed()
        assert self._parent_pid == os.getpid(), f"can only {what} a child process"
        assert self._run is not None, f"can only {what} a started process"
        return self._run

    def _signal(self, number: signal.Signals) -> None:
        self._check_closed()
        if self._run is None:
            raise AttributeError(f"{self._name} has not been started, so it has no process to signal")
        self._run.signal(number)


class _Run:
    """A started process, seen from its parent."""

    def __init__(self, process: Process) -> None:
        self._closed = False
        self.sentinel = os.eventfd(0, os.EFD_CLOEXEC)
        self._future: Future[None] = _executor().submit(_child, process)
        problem = self._future.exception() if self._future.done() and self._future._connection is None else None
        if problem is not None:  # it could not be pickled
            os.close(self.sentinel)
            raise problem
        self._future.add_done_callback(self._note_end)

    def _note_end(self, future: concurrent.futures.Future[None]) -> None:
        error = future.exception()
        report = error.report if isinstance(error, errors.TaskError) else None
        if error is not None and (report is None or report.cause == "start_failed"):
            print(f"prefork: a process could not be run: {error}", file=sys.stderr)  # nobody else would say it
        os.eventfd_write(self.sentinel, 1)

    @property
    def exitcode(self) -> int | None:
        if not self._future.done():
            return None
        error = self._future.exception()
        if error is None:
            return 0
        report = error.report if isinstance(error, errors.TaskError) else None
        if report is not None and report.signal is not None:
            return -report.signal
        if report is not None and report.exit_code is not None:
            return report.exit_code
        if isinstance(error, errors.TaskCancelled):
            return -signal.SIGTERM
        return 1

    def wait(self, timeout: float | None) -> bool:
        """False if it goes on."""
        done = concurrent.futures.wait([self._future], None if timeout is None else max(timeout, 0)).done
        return bool(done)

    def pid(self) -> int | None:
        for number in self._future.stream():
            return int(number)
        return None

    def signal(self, number: signal.Signals) -> None:
        try:
            self.pid()  # a signal needs a process
        except Exception:
            return  # it has ended
        if not self._future.done() and self._future._connection is not None:
            try:
                self._future._connection.call("SignalTask", {"task_id": self._future.task_id, "signal": int(number)})
            except errors.RequestRejected:
                pass  # it has ended meanwhile

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            os.close(self.sentinel)


def _child(process: Process) -> None:
    """In the new process."""
    global _current, _parent, _counter
    task.emit(os.getpid())
    _parent = _Parent(process._parent_name, process._parent_pid)
    _current = process
    _counter = itertools.count(1)
    code = 1
    try:
        process.run()
        code = 0
    except SystemExit as error:
        if error.code is None:
            code = 0
        elif isinstance(error.code, int):
            code = error.code
        else:
            print(error.code, file=sys.stderr)
    except BaseException:
        print(f"Process {process.name}:", file=sys.stderr)
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    if code != 0:
        raise SystemExit(code)


class _Main(Process):
    """The process that nobody of us has started."""

    def __init__(self) -> None:
        self._identity = ()
        self._name = "MainProcess"
        self._parent_pid = os.getppid()
        self._daemon = False
        self._run = None
        self._closed = False

    def close(self) -> None:
        """Does nothing."""


class _PoolWorker(_Main):
    """A worker of a pool, as its tasks see it."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self._identity = (index + 1,)
        self._name = f"PoolWorker-{index + 1}"


class _Parent(_Main):
    """The program that started this process."""

    def __init__(self, name: str, pid: int) -> None:
        super().__init__()
        self._name = name
        self._pid = pid
        try:
            self._pidfd = os.pidfd_open(pid)
        except OSError:
            self._pidfd = -1

    @property
    def pid(self) -> int | None:
        return self._pid

    ident = pid

    def is_alive(self) -> bool:
        return self._pidfd >= 0 and not select.select([self._pidfd], [], [], 0)[0]

    def join(self, timeout: float | None = None) -> None:
        if self._pidfd >= 0:
            select.select([self._pidfd], [], [], None if timeout is None else max(timeout, 0))


_counter = itertools.count(1)
_current: Process = _Main()
_parent: _Parent | None = None
_children: set[Process] = set()
_shared: Executor | None = None
_shared_lock = threading.Lock()


def current_process() -> Process:
    """The process object of this process."""
    global _current
    if type(_current) is _Main and worker.index is not None:
        _current = _PoolWorker(worker.index)
    return _current


def parent_process() -> Process | None:
    """The process object of the process that started this one; None in the main process."""
    return _parent


def active_children() -> list[Process]:
    """Those children of this process that have not ended; joins those that have."""
    for child in list(_children):
        if child._run is None or child._run.exitcode is not None:
            _children.discard(child)
    return list(_children)


def _executor() -> Executor:
    """Runs all processes of this program; what they write appears in ours."""
    global _shared
    with _shared_lock:
        if _shared is None or _shared.closed:
            _shared = Executor(output=True).options(dedicated=True)
            _exit.before_end(_end_children)
        return _shared


def _end_children() -> None:
    """At this program's end: terminates the daemonic ones; the executor waits for the others."""
    for child in active_children():
        if child.daemon:
            child.terminate()
    for child in active_children():
        child.join()
