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
import itertools
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


class Imports:
    """Finds what has been imported since the last time.

    It touches new names only: looking at an object writes to it, because references are counted, and a look at each module
    of a large package would give a worker copies of most pages that it shares with its zygote.
    """

    def __init__(self) -> None:
        self._count = 0
        self._last = ""

    def take(self) -> list[str]:
        """Names of modules in their order. All of them when the last that was seen is gone."""
        wanted = max(len(sys.modules) - self._count, 0) + 1
        while True:
            count = len(sys.modules)
            names = list(itertools.islice(reversed(sys.modules), wanted))  # in one step: other threads may import
            newest = names[0]
            if self._last in names:
                del names[names.index(self._last) :]
                break
            if wanted >= count:
                break
            wanted *= 2
        self._count = count
        self._last = newest
        return names[::-1]

    def skip(self) -> None:
        """Leaves out those that there are now."""
        self._count = len(sys.modules)
        self._last = next(reversed(sys.modules))


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
        self._imports = Imports()
        self._untold: list[str] = []
        self._learnt = 0

    def fileno(self) -> int:
        """Readable in the zygote when ``learn`` has work."""
        return self._zygote_end.fileno()

    def begin_worker(self) -> None:
        """In a new worker: from now on it tells."""
        self._zygote_end.close()
        self._imports.skip()

    def tell(self) -> None:
        """In a worker after a task. What finds no room in the socket is not told: it is only speed."""
        self._untold += self._imports.take()
        if not self._untold:
            return
        if _thread_count() > 1:  # such a module may not be forked
            self._untold.clear()
            return
        packet = bytearray()
        told = 0
        for name in self._untold:
            if len(packet) + len(name) > _PACKET_BYTES:
                break
            told += 1
            origin = getattr(getattr(sys.modules.get(name), "__spec__", None), "origin", None)
            if isinstance(origin, str) and origin.startswith(self._roots):
                packet += name.encode() + b"\n"
        del self._untold[:told]
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
        self._imports = Imports()
        self._files: dict[str, _File] = {}  # by module

    def note(self) -> None:
        """Takes in what was imported since the last time."""
        for name in self._imports.take():
            origin = getattr(getattr(sys.modules.get(name), "__spec__", None), "origin", None)
            if isinstance(origin, str) and origin.endswith(".py") and not origin.startswith(self._foreign):
                self._files[name] = _File(origin, _state(origin))

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
        self._imports.skip()
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
