"""The zygote and worker processes of the runtime python."""

from collections.abc import Callable, Sequence
from typing import Any

def serve(
    pool: str,
    load: Callable[[], None],
    start: Callable[[int], None],
    run: Callable[[str, str, Any, bool, bool], tuple[str | None, str, Sequence[Any], int | None]],
    no_memory: Callable[[str, str], tuple[str | None, str, Sequence[Any], int | None]],
    news: Callable[[], None],
    news_fd: int,
) -> int:
    """Serves the daemon that started this process as a zygote; returns its exit code."""

def forget_task() -> None:
    """Makes this process no worker."""

def note_output() -> None:
    """The running task, if any, has written to stdout or stderr."""

def running() -> bool:
    """Does this process run a task now?"""

def task_id() -> int: ...
def attempt() -> int: ...
def worker_index() -> int: ...
def cancelled() -> bool: ...
def progress(done: float, total: float, text: str) -> None: ...
def emit(value: bytes, content_type: str) -> None: ...
