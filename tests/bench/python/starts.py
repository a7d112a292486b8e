"""Rows of new programs: from the start of the interpreter to the first result of a function that needs numpy."""

from __future__ import annotations

import contextlib
import os
import pathlib
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from contest import WORKERS, Contest, Row

_MS = 1e3
_NOBODY = 65534
# More than there are workers, so that none is new to the function any more.
_WARM_UPS = 2 * WORKERS

_FUNCTION = """
def total():
    import numpy
    return float(numpy.arange(10).sum())
"""
_BARE = "print(45.0, flush=True)"
_OURS = f"""
import prefork
{_FUNCTION}
with prefork.Executor({WORKERS}) as executor:
    print(executor.submit(total).result(), flush=True)
"""
_STANDARD = f"""
import concurrent.futures
{_FUNCTION}
with concurrent.futures.ProcessPoolExecutor({WORKERS}) as executor:
    print(executor.submit(total).result(), flush=True)
"""
_LOKY = f"""
from joblib.externals import loky
{_FUNCTION}
with loky.ProcessPoolExecutor({WORKERS}) as executor:
    print(executor.submit(total).result(), flush=True)
"""


class Home:
    """Where programs lie and run: a folder of a user who has no daemon, which root would have.

    Args:
        folder: Is given to that user.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:
            self._user = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []}
            os.chown(folder, _NOBODY, _NOBODY)
        self.lonely = {name: value for name, value in os.environ.items() if name != "PREFORK_ADDRESS"}
        self.lonely.update(HOME=str(folder), XDG_RUNTIME_DIR=str(folder), XDG_STATE_HOME=str(folder))
        self._socket = folder / "prefork" / "prefork.sock"

    def first_result_ms(self, name: str, text: str) -> float:
        """Runs a program where a daemon is."""
        return self._run(name, text, dict(os.environ), {})

    def lonely_first_result_ms(self, name: str, text: str) -> float:
        """Runs a program where none is, and ends the one that it has started, if any."""
        try:
            return self._run(name, text, self.lonely, self._user)
        finally:
            self._end_daemon()

    def _run(self, name: str, text: str, environment: dict[str, str], user: dict[str, Any]) -> float:
        script = self._folder / f"{name}.py"
        script.write_text(text)
        begin = time.perf_counter()
        with subprocess.Popen(
            [sys.executable, str(script)], env=environment, cwd=self._folder, stdout=subprocess.PIPE, **user
        ) as program:
            assert program.stdout is not None
            result = program.stdout.readline()
            elapsed = time.perf_counter() - begin
        if result != b"45.0\n" or program.returncode != 0:
            raise RuntimeError(f"{script} printed {result!r} and ended with {program.returncode}")
        return elapsed * _MS

    def _end_daemon(self) -> None:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(self._socket)) != 0:
                return
            pid = struct.unpack("3i", probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        with open(os.pidfd_open(pid), "rb") as end:
            os.kill(pid, signal.SIGTERM)
            select.select([end], [], [])


@contextlib.contextmanager
def _home() -> Iterator[Home]:
    with tempfile.TemporaryDirectory(prefix="py.", dir="/tmp") as folder:  # a socket's path is short
        yield Home(pathlib.Path(folder))


@contextlib.contextmanager
def _warm_start() -> Iterator[Contest]:
    with _home() as home:
        for _ in range(_WARM_UPS):
            home.first_result_ms("ours", _OURS)
        yield {
            "prefork": lambda: home.first_result_ms("ours", _OURS),
            "bare interpreter start": lambda: home.first_result_ms("bare", _BARE),
            "ProcessPoolExecutor": lambda: home.first_result_ms("standard", _STANDARD),
            "loky": lambda: home.first_result_ms("external", _LOKY),
        }


@contextlib.contextmanager
def _cold_start() -> Iterator[Contest]:
    with _home() as home:
        yield {
            "prefork": lambda: home.lonely_first_result_ms("ours", _OURS),
            "bare interpreter start": lambda: home.lonely_first_result_ms("bare", _BARE),
            "ProcessPoolExecutor": lambda: home.lonely_first_result_ms("standard", _STANDARD),
            "loky": lambda: home.lonely_first_result_ms("external", _LOKY),
        }


ROWS: dict[str, Row] = {"py_warm_start": _warm_start, "py_cold_start": _cold_start}
