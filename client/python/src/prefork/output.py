"""What tasks write, in this program."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

Output: TypeAlias = Callable[[Literal["stdout", "stderr"], bytes], object]


def write_output(output: bool | Output, is_stderr: bool, data: bytes) -> None:
    """Gives what a task has written to where its executor wants it.

    Args:
        output: See ``Executor``.
    """
    if callable(output):
        output("stderr" if is_stderr else "stdout", data)
    elif output:
        _write_through(sys.stderr if is_stderr else sys.stdout, data)


def _write_through(stream: Any, data: bytes) -> None:
    """Writes to a text stream of this program as if the bytes had been written by it."""
    if stream is None:
        return
    raw = getattr(stream, "buffer", None)
    if raw is None:
        stream.write(data.decode(errors="replace"))
    else:
        stream.flush()
        raw.write(data)
    stream.flush()
