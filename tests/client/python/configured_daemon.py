"""A daemon with a configuration of its own, driven by the command line tool as any program could."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
from typing import Any

from waiting import wait_until

DAEMON = os.environ.get("PREFORK_DAEMON", "preforkd")
CLI = os.environ.get("PREFORK_CLI", "prefork")
PACKAGE_PATH = str(pathlib.Path(__import__("prefork").__file__).parent.parent)
HERE = str(pathlib.Path(__file__).parent)


class ConfiguredDaemon:
    """Runs until ``stop``. Its pools import from ``folder``.

    Args:
        folder: For socket, log and modules.
        pools: Tables of the configuration, as ``[pool.py]``.
    """

    def __init__(self, folder: pathlib.Path, pools: str) -> None:
        self.folder = folder
        config = folder / "prefork.toml"
        config.write_text(f'[daemon]\nsocket = "{folder}/d.sock"\n{pools}')
        self._environment = {
            **os.environ,
            "PREFORK_ADDRESS": f"unix:{folder}/d.sock",
            "PYTHONPATH": f"{PACKAGE_PATH}:{HERE}",
        }
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [DAEMON, "--config", str(config)],
                env={**self._environment, "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_until(lambda: self.process.poll() is not None or self.cli("status").returncode == 0, "the daemon answers")
        assert self.process.poll() is None, self.log.read_text()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        assert "abort" not in self.log.read_text()

    def write_module(self, name: str, text: str) -> None:
        (self.folder / f"{name}.py").write_text(text)

    def cli(self, *arguments: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [CLI, *arguments], env=self._environment, input=data, capture_output=True, timeout=100, cwd=self.folder
        )

    def start_cli(self, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [CLI, *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.folder,
        )

    def run(self, function: str, *args: Any, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[bytes]:
        """Calls a function of the pool ``py`` with JSON."""
        return self.cli("call", "-p", "py", *options, function, "--json", json.dumps(args))

    def call(self, function: str, *args: Any) -> Any:
        """The same; returns its value."""
        ended = self.run(function, *args)
        assert ended.returncode == 0, (ended.stdout, ended.stderr)
        return json.loads(ended.stdout)

    def error(self, function: str, *args: Any, options: tuple[str, ...] = ()) -> str:
        """The same; returns what is said of its failure."""
        ended = self.run(function, *args, options=options)
        assert ended.returncode != 0, ended.stdout
        return ended.stderr.decode()

    def pool(self, name: str = "py") -> dict[str, Any]:
        """What the daemon says of a pool."""
        shown = self.cli("--json", "pool", "show", name)
        assert shown.returncode == 0, shown.stderr
        description: dict[str, Any] = json.loads(shown.stdout)
        return description

    def degraded_reason(self) -> str:
        """Why the pool ``py`` is DEGRADED, once it is."""
        wait_until(lambda: self.pool()["state"] == "POOL_STATE_DEGRADED", "the pool is degraded")
        return str(self.pool()["reason"])
