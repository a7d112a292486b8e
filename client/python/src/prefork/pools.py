"""Pools of Python workers, named by what makes workers interchangeable.

Programs with the same interpreter, ``sys.path``, environment, preloads and size share one pool, and so find each other's
workers warm. A pool with an initializer belongs to one executor alone, and goes with it.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import os
import sys
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

# Differ between two terminals, or two moments, without a meaning for tasks.
_VOLATILE = frozenset(
    "_ COLORTERM COLUMNS DISPLAY GPG_TTY INVOCATION_ID JOURNAL_STREAM LINES LS_COLORS MAIL MEMORY_PRESSURE_WATCH "
    "MEMORY_PRESSURE_WRITE OLDPWD PS1 PWD SHLVL STY SYSTEMD_EXEC_PID TMUX TMUX_PANE WAYLAND_DISPLAY WINDOWID".split()
)
_VOLATILE_PREFIXES = ("DBUS_", "PREFORK_", "PYTEST_", "SSH_", "TERM", "VSCODE_", "XDG_SESSION", "XDG_SEAT", "XDG_VTNR")


# A pool that nobody has used for so long ends; the next use makes it again.
IDLE_TIMEOUT = "600s"


@dataclass(frozen=True)
class PoolSpec:
    """What makes a pool of Python workers.

    Attributes:
        interpreter: Path of the Python that runs the workers.
        path: Its whole ``sys.path``.
        environment: Variables that are set for the workers.
        preload: Modules that are imported once, before workers are forked.
        size: Number of workers; 0: as many as the daemon may use processors.
        max_tasks: A worker is replaced after so many tasks; 0: never.
        initializer: Base64 of the pickle of a function that each worker calls first; empty: none.
        private: Names the executor to which the pool belongs; empty: it is shared.
        cwd: Working directory of tasks. Not part of the pool's name.
    """

    interpreter: str
    path: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    preload: tuple[str, ...] = ()
    size: int = 0
    max_tasks: int = 0
    initializer: str = ""
    private: str = ""
    cwd: str = "/"

    @classmethod
    def of_this_program(
        cls,
        size: int = 0,
        preload: Iterable[str] = (),
        max_tasks: int = 0,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
    ) -> PoolSpec:
        """A pool whose workers see what this program sees.

        Raises:
            Exception: What pickling the initializer raises.
        """
        pickled = ""
        if initializer is not None:
            import cloudpickle

            pickled = base64.b64encode(cloudpickle.dumps(functools.partial(initializer, *initargs))).decode()
        return cls(
            interpreter=sys.executable,
            path=tuple(os.path.abspath(entry) for entry in sys.path),
            environment=tuple(sorted(_lasting(os.environ).items())),
            preload=tuple(preload),
            size=size,
            max_tasks=max_tasks,
            initializer=pickled,
            private=uuid.uuid4().hex if pickled else "",
            cwd=os.getcwd(),
        )

    @functools.cached_property
    def name(self) -> str:
        """The same for programs that may share the pool."""
        key = [
            os.path.realpath(self.interpreter),
            self.interpreter,
            self.path,
            self.environment,
            self.preload,
            self.size,
            self.max_tasks,
            self.initializer,
            self.private,
        ]
        return "py-" + hashlib.sha256(json.dumps(key).encode()).hexdigest()[:12]

    def to_message(self, address: str) -> dict[str, Any]:
        """The message PoolSpec of the daemon at ``address``, in its JSON form."""
        command = [self.interpreter, "-m", "prefork.worker", "--pool", self.name]
        for entry in self.path:
            command += ["--path", entry]
        for module in self.preload:
            command += ["--preload", module]
        if self.initializer:
            command += ["--initializer", self.initializer]
        return {
            "name": self.name,
            "runtime": "RUNTIME_PYTHON",
            "size": self.size,
            "zygote_command": command,
            "env": {**dict(self.environment), "PREFORK_ADDRESS": address},
            "cwd": self.cwd,
            "max_tasks_per_worker": self.max_tasks,
            "idle_timeout": IDLE_TIMEOUT,
        }


def _lasting(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in environment.items()
        if name not in _VOLATILE and not name.startswith(_VOLATILE_PREFIXES)
    }
