"""sys.stdout and sys.stderr of a worker: the pipes to the daemon."""

from __future__ import annotations

import io
import sys
from typing import Any

from .. import _worker


class Streams:
    """Makes the two streams, and puts them back after a task that has replaced or closed them."""

    def __init__(self) -> None:
        self._out = _open(1)
        self._err = _open(2)
        self._put()

    def end_task(self) -> None:
        """Writes out what the task has printed."""
        for stream in {id(each): each for each in (sys.stdout, sys.stderr, self._out, self._err)}.values():
            try:
                stream.flush()
            except Exception:  # closed, or the task's own
                pass
        if self._out.closed:
            self._out = _open(1)
        if self._err.closed:
            self._err = _open(2)
        if sys.stdout is not self._out or sys.stderr is not self._err:
            self._put()

    def _put(self) -> None:
        sys.stdout = sys.__stdout__ = self._out  # type: ignore[misc]
        sys.stderr = sys.__stderr__ = self._err  # type: ignore[misc]


class _Pipe(io.FileIO):
    """Tells the worker of each write, so that it is credited to the task which made it."""

    def write(self, data: Any, /) -> int:
        _worker.note_output()
        return super().write(data)  # all, or an error: the pipe waits


def _open(descriptor: int) -> io.TextIOWrapper:
    errors = "backslashreplace" if descriptor == 2 else "surrogateescape"
    file = _Pipe(descriptor, "w", closefd=False)
    return io.TextIOWrapper(io.BufferedWriter(file), encoding="utf-8", errors=errors, line_buffering=True)
