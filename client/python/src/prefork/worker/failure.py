"""What a failed task says: the text for everyone, and the exception itself for a Python client."""

from __future__ import annotations

import pickle
import sys
import traceback
from types import TracebackType
from typing import NoReturn

from .. import codec

_OWN_FILES = __file__.rpartition("/")[0] + "/"


class BadCall(Exception):
    """The call can't be made; the text is the task's error, as it is."""


def describe(error: BaseException) -> str:
    """``Type: text`` on the first line, then the traceback of the task's own code, if it ran."""
    try:
        lines = "".join(traceback.format_exception_only(error)).strip()
        if _own_frames_cut(error.__traceback__) is None:
            return lines
        summary = lines.splitlines()
        first = summary[-1 if isinstance(error, SyntaxError) else 0]  # that one begins with the file
        return f"{first}\n\n{traceback_text(error)}"
    except Exception:  # an exception that can't even be printed
        return type(error).__name__


def traceback_text(error: BaseException) -> str:
    """The traceback as an interpreter prints it, without the frames of this package that called the task."""
    return "".join(traceback.format_exception(type(error), error, _own_frames_cut(error.__traceback__)))


def encode(error: BaseException, failed_call: int | None) -> codec.Encoded | None:
    """``(exception, traceback_text)`` for the client; None if it can't be pickled, or not be rebuilt from that.

    In a chunk the place of the call that failed is the third element.
    """
    place = () if failed_call is None else (failed_call,)
    try:
        encoded = codec.dumps((error, traceback_text(error), *place))
        codec.loads(memoryview(encoded.joined()), encoded.content_type)
    except Exception:
        return None
    return encoded


def refuse_value(value: object, error: BaseException) -> NoReturn:
    """The function has returned what can't be sent."""
    text = f"the result, a {type(value).__qualname__}, can't be pickled: {type(error).__name__}: {error}"
    raise pickle.PicklingError(text) from None


def exit_code(error: SystemExit) -> int:
    """The exit code of a process that ends with ``error``; prints its text, if that is what it has."""
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code & 0xFF
    print(error.code, file=sys.stderr)
    return 1


def _own_frames_cut(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_OWN_FILES):
        trace = trace.tb_next
    return trace
