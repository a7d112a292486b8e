"""What a pool imports: before the first task, and what it learns from tasks; and user modules that change on disk.

Learning. A worker that has run a task tells its zygote which modules that task imported, a packet of names over a
socket that all workers inherit. The zygote imports those that belong to the standard library or to site-packages, so
that the workers it forks from then on share them. Modules of the user are left to the workers: they change.

Changes. A worker knows the modules that were imported from the user's own source files, and how those files looked.
When one of them has changed since, all of them are dropped before the next task, so that it runs the new code. The
files are looked at when the worker has slept since the last task: tasks that come in one burst run on one code.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import site
import socket
import sys
import sysconfig
from collections.abc import Iterable
from typing import NamedTuple

# One packet of names; a task that imports more than fits tells the rest with the next packet.
_PACKET_BYTES = 32 * 1024
# More than the largest packages have. Modules over it are imported by each worker.
_MAX_LEARNT_MODULES = 5000


def installed_roots() -> tuple[str, ...]:
    """The directories of the standard library and of installed packages, each with a slash at its end."""
    paths = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    paths.update(site.getsitepackages())
    if site.ENABLE_USER_SITE:
        paths.add(site.getusersitepackages())
    both = paths | {os.path.realpath(path) for path in paths}
    return tuple(sorted(os.path.join(path, "") for path in both))


class Learner:
    """Carries the names of imported modules from workers to their zygote.

    Args:
        roots: As ``installed_roots`` says.
    """

    def __init__(self, roots: tuple[str, ...]) -> None:
        self._roots = roots
        self._zygote_end, self._worker_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._zygote_end.setblocking(False)
        self._worker_end.setblocking(False)
        self._known = 0  # modules of this process that need not be told
        self._learnt = 0

    def fileno(self) -> int:
        """Readable in the zygote when ``learn`` has work."""
        return self._zygote_end.fileno()

    def begin_worker(self) -> None:
        """In a new worker: from now on it tells."""
        self._zygote_end.close()
        self._known = len(sys.modules)

    def tell(self) -> None:
        """In a worker after a task. What finds no room in the socket is not told: it is only speed."""
        if len(sys.modules) == self._known:
            return
        if len(sys.modules) < self._known or _thread_count() > 1:  # such a module may not be forked
            self._known = len(sys.modules)
            return
        packet = bytearray()
        for name in list(sys.modules)[self._known :]:
            if len(packet) + len(name) > _PACKET_BYTES:
                break
            self._known += 1
            origin = getattr(getattr(sys.modules.get(name), "__spec__", None), "origin", None)
            if isinstance(origin, str) and origin.startswith(self._roots):
                packet += name.encode() + b"\n"
        if packet:
            try:
                self._worker_end.send(packet)
            except OSError:
                pass

    def learn(self) -> None:
        """In the zygote: imports what workers have told."""
        while True:
            try:
                packet = self._zygote_end.recv(_PACKET_BYTES)
            except OSError:
                break
            if not packet:
                break
            for name in packet.decode(errors="replace").splitlines():
                self._learn(name)

    def _learn(self, name: str) -> None:
        if name in sys.modules or self._learnt >= _MAX_LEARNT_MODULES:
            return
        try:
            package = importlib.util.find_spec(name.partition(".")[0])
            if package is None or not isinstance(package.origin, str) or not package.origin.startswith(self._roots):
                return
            importlib.import_module(name)
            self._learnt += 1
        except Exception:  # a worker will say what is wrong, if it needs the module
            pass


class UserModules:
    """The modules of this process that come from the user's own source files.

    Args:
        roots: As ``installed_roots`` says; what lies there is not the user's.
    """

    def __init__(self, roots: tuple[str, ...]) -> None:
        self._foreign = (*roots, os.path.join(os.path.dirname(os.path.dirname(__file__)), ""))
        self._looked_at = 0  # of sys.modules
        self._files: dict[str, _File] = {}  # by module

    def note(self) -> None:
        """Takes in what was imported since the last time."""
        if len(sys.modules) == self._looked_at:
            return
        for name in list(sys.modules):
            if name not in self._files:
                origin = getattr(getattr(sys.modules[name], "__spec__", None), "origin", None)
                if isinstance(origin, str) and origin.endswith(".py") and not origin.startswith(self._foreign):
                    self._files[name] = _File(origin, _state(origin))
        self._looked_at = len(sys.modules)

    def drop_changed(self) -> bool:
        """Forgets all of them if a file has changed, so that they are imported anew; says whether it did."""
        changed = [file for file in self._files.values() if _state(file.path) != file.state]
        if not changed:
            return False
        for name in self._files:
            sys.modules.pop(name, None)
        for file in changed:
            _remove_bytecode(file.path)
        self._files.clear()
        self._looked_at = 0
        importlib.invalidate_caches()
        return True


class _File(NamedTuple):
    path: str
    state: tuple[int, ...] | None


def _state(path: str) -> tuple[int, ...] | None:
    try:
        now = os.stat(path)
    except OSError:
        return None
    return now.st_mtime_ns, now.st_size, now.st_ino


def _remove_bytecode(path: str) -> None:
    """The interpreter takes compiled code for fresh if the source has the size and the second it was made of."""
    try:
        os.unlink(importlib.util.cache_from_source(path))
    except (OSError, NotImplementedError):
        pass


def _thread_count() -> int:
    return len(os.listdir("/proc/self/task"))


def preload(names: Iterable[str]) -> None:
    """Imports ``names``; the text of what it raises names the module."""
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:
            raise ImportError(f"preload of {name}: {type(error).__name__}: {error}") from error
