"""Functions that workers find by name."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any, NoReturn

import prefork
from waiting import wait_until


def noop() -> None: ...


def square(x: int) -> int:
    return x * x


def add(x: int, y: int = 0) -> int:
    return x + y


def depth_below(levels: int) -> int:
    """Waits for a task of its own that does the same, ``levels`` times, in an executor like the test's."""
    if levels == 0:
        return 0
    with prefork.Executor(1) as executor:
        return 1 + executor.submit(depth_below, levels - 1).result()


def pid(_: Any = None) -> int:
    return os.getpid()


def pid_after_work(_: Any = None) -> int:
    """Takes about a millisecond, so that something can happen meanwhile."""
    sum(range(100_000))
    return os.getpid()


def wait_for_file(path: os.PathLike[str] | str, value: Any = None) -> Any:
    """Runs until the test lets it end by making the file; returns ``value``."""
    wait_until(lambda: os.path.exists(path), f"the test makes {path}", 60)
    return value


def hang(_: Any = None) -> NoReturn:
    """Runs until it is ended from outside."""
    wait_until(lambda: False, "somebody ends this task", 60)
    raise AssertionError


def fail(text: str = "no") -> NoReturn:
    raise ValueError(text, 3)


def fail_at_three(x: int) -> int:
    if x == 3:
        raise ValueError("three")
    return x


class TwoArguments(Exception):
    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


def fail_unbuildable() -> NoReturn:
    raise TwoArguments(1, 2)


def unpicklable() -> Any:
    return lambda: sys._getframe()


def unpicklable_result() -> Any:
    import threading

    return threading.Lock()


def die_by_signal(number: int = signal.SIGKILL) -> NoReturn:
    os.kill(os.getpid(), number)
    hang()


def die_with_code(code: int) -> NoReturn:
    os._exit(code)


def die_once(path: str) -> str:
    """Dies when it is called for the first time with this path."""
    if not os.path.exists(path):
        open(path, "w").close()
        die_by_signal()
    return "second"


def leave_pid(path: os.PathLike[str] | str, end: os.PathLike[str] | str | None = None) -> None:
    """Writes its process number to ``path``, then runs until the test makes the file ``end``; None: hangs."""
    with open(f"{path}.new", "w") as file:
        file.write(str(os.getpid()))
    os.rename(f"{path}.new", path)
    if end is None:
        hang()
    wait_for_file(end)


def count(number: int) -> str:
    for done in range(number):
        prefork.task.progress(done + 1, number, f"step {done + 1}")
        prefork.task.emit(done)
    return "counted"


def speak(text: str) -> None:
    print(text)
    print("error:", text, file=sys.stderr)


def exit_with(code: Any) -> NoReturn:
    sys.exit(code)


_mark = "unset"


def set_mark(value: str) -> None:
    global _mark
    _mark = value


def get_mark() -> str:
    return _mark
