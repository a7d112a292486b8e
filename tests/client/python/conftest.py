"""A daemon for the tests of a run, and programs of their own for what needs one."""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator

import pytest

from waiting import wait_until

HERE = os.path.dirname(__file__)
DAEMON = os.environ.get("PREFORK_DAEMON") or shutil.which("preforkd") or "preforkd"


class Daemon:
    """A preforkd with a socket in a folder of its own."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.socket = folder / "daemon.sock"
        self.address = f"unix:{self.socket}"
        self.log = folder / "daemon.log"
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [DAEMON, "--socket", str(self.socket)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait_until(self._answers, "the daemon listens")

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket)) == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
            raise


@pytest.fixture(scope="session", autouse=True)
def daemon() -> Iterator[Daemon]:
    """The daemon that all tests of the run use by default."""
    # Paths of sockets are short.
    with tempfile.TemporaryDirectory(prefix="py.") as folder:
        running = Daemon(pathlib.Path(folder))
        os.environ["PREFORK_ADDRESS"] = running.address
        yield running
        running.stop()


@pytest.fixture
def own_daemon() -> Iterator[Daemon]:
    """A daemon that the test may kill."""
    with tempfile.TemporaryDirectory(prefix="py.") as folder:
        running = Daemon(pathlib.Path(folder))
        yield running
        running.kill()


Program = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run_program(tmp_path: pathlib.Path) -> Program:
    """Runs the text as a script in a folder of its own, and returns how it ended; it may take 60 s.

    The script can import our modules, and so can its workers.
    """
    path = filter(None, [HERE, os.environ.get("PYTHONPATH")])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}

    def run(text: str, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        script = tmp_path / "program.py"
        script.write_text(textwrap.dedent(text))
        command = [sys.executable, str(script), *arguments]
        return subprocess.run(  # type: ignore[call-overload,no-any-return]
            command, capture_output=True, text=True, timeout=60, cwd=tmp_path, **{"env": environment, **options}
        )

    return run
