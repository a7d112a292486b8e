"""Functions that workers find by name."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any, NoReturn

import prefork


def noop() -> None: ...


def square(x: int) -> int:
    return x * x


def add(x: int, y: int = 0) -> int:
    return x + y


def pid(_: Any = None) -> int:
    return os.getpid()


def pid_slowly(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


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
    time.sleep(60)
    raise AssertionError


def die_with_code(code: int) -> NoReturn:
    os._exit(code)


def die_once(path: str) -> str:
    """Dies when it is called for the first time with this path."""
    if not os.path.exists(path):
        open(path, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)
    return "second"


def leave_pid(path: str, seconds: float) -> None:
    """Writes its process number, then sleeps."""
    with open(path + ".new", "w") as file:
        file.write(str(os.getpid()))
    os.rename(path + ".new", path)
    time.sleep(seconds)


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
