"""Runs one task after the other in a worker process."""

from __future__ import annotations

import base64
import functools
import importlib
import json
import os
import pickle
import signal
import sys
import traceback
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .. import codec

# Functions that came by value and are kept, the last used ones.
_MAX_KEPT_FUNCTIONS = 256


class Ended(NamedTuple):
    """How a task ended, as the extension wants it."""

    error: str | None  # None: it succeeded
    content_type: str
    parts: Sequence[codec.Buffer]
    exit_code: int  # of the process, if the task has one of its own


class BadCall(Exception):
    """The call can't be made; the text is the task's error."""


class Runner:
    """The Python side of a zygote and its workers.

    Args:
        path: All of ``sys.path``; None: as it is.
        preload: Modules to import before workers are forked.
        initializer: A function that each worker calls first: base64 of its cloudpickle; may be empty.
    """

    def __init__(self, path: list[str] | None, preload: list[str], initializer: str) -> None:
        self._path = path
        self._preload = preload
        self._initializer = initializer
        self._by_name: dict[str, Callable[..., Any]] = {}
        self._by_digest: OrderedDict[bytes, Callable[..., Any]] = OrderedDict()

    def load(self) -> None:
        """In the zygote, once. What it raises is the reason why the pool can't start."""
        if self._path is not None:
            sys.path[:] = self._path
        for name in self._preload:
            importlib.import_module(name)

    def start(self, index: int) -> None:
        """In each worker, before it is ready. What it raises is the reason why it can't start."""
        from .. import worker

        worker.index = index
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        for stream, number in (("stdout", 1), ("stderr", 2)):
            setattr(sys, stream, os.fdopen(number, "w", buffering=1, errors="backslashreplace", closefd=False))
        sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr  # type: ignore[misc]
        if self._initializer:
            pickle.loads(base64.b64decode(self._initializer))()

    def run(self, name: str, content_type: str, payload: memoryview, dedicated: bool) -> Ended:
        """Runs a task to its end, whatever that is."""
        try:
            return self._run(name, content_type, payload)
        except BadCall as error:
            return Ended(str(error), "", (), 1)
        except SystemExit as error:
            return Ended(f"SystemExit: {error.code}", "", (), exit_code(error))
        except BaseException as error:
            if dedicated:
                print_exception(error)
            return Ended(describe(error), "", (), 1)
        finally:
            flush()

    def _run(self, name: str, content_type: str, payload: memoryview) -> Ended:
        if content_type.startswith(codec.PICKLE):
            return self._run_pickle(name, content_type, payload)
        if content_type.startswith(codec.JSON):
            return self._run_json(self._find(name), payload)
        if content_type in ("", codec.BYTES):
            return self._run_bytes(self._find(name), payload)
        raise BadCall(
            f"content type {content_type!r}: a python pool takes {codec.JSON}, {codec.BYTES} and {codec.PICKLE}"
        )

    def _run_pickle(self, name: str, content_type: str, payload: memoryview) -> Ended:
        call = codec.loads(payload, content_type)
        if type(call[0]) is bytes:
            digest, pickled, args, kwargs = call[:4]
            function = self._unpickle_function(digest, pickled)
        else:
            args, kwargs = call[:2]
            function = self._find(name)
        if codec.CALLS in content_type:
            value: Any = [function(*each, **kwargs) for each in args]
        else:
            value = function(*args, **kwargs)
        return Ended(None, *codec.dumps(codec.lighten(value)), 0)

    def _run_json(self, function: Callable[..., Any], payload: memoryview) -> Ended:
        try:
            call = json.loads(bytes(payload))
        except ValueError as error:
            raise BadCall(f"the payload is not JSON: {error}") from None
        args, kwargs = json_arguments(call)
        value = function(*args, **kwargs)
        try:
            text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise BadCall(f"the value is a {type(value).__qualname__} that is not JSON: {error}") from None
        return Ended(None, codec.JSON, (text.encode(),), 0)

    def _run_bytes(self, function: Callable[..., Any], payload: memoryview) -> Ended:
        value = function(bytes(payload))
        if value is None:
            value = b""
        if not isinstance(value, (bytes, bytearray, memoryview)):
            raise BadCall(f"a call with bytes returns bytes, not a {type(value).__qualname__}; JSON takes other values")
        return Ended(None, codec.BYTES, (value,), 0)

    def _find(self, name: str) -> Callable[..., Any]:
        function = self._by_name.get(name)
        if function is None:
            function = self._by_name[name] = import_function(name)
        return function

    def _unpickle_function(self, digest: bytes, pickled: bytes) -> Callable[..., Any]:
        function = self._by_digest.get(digest)
        if function is not None:
            self._by_digest.move_to_end(digest)
            return function
        function = self._by_digest[digest] = pickle.loads(pickled)
        if len(self._by_digest) > _MAX_KEPT_FUNCTIONS:
            self._by_digest.popitem(last=False)
        return function


def import_function(name: str) -> Callable[..., Any]:
    """The function ``module:qualname``; BadCall says what is missing."""
    module_name, colon, qualname = name.partition(":")
    if not colon or not module_name or not qualname:
        raise BadCall(f"function {name!r} is not of the form module:function")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name + ".").startswith(error.name + "."):
            raise
        raise BadCall(f"ModuleNotFoundError: no module {module_name!r} on sys.path, which is {sys.path}") from None
    try:
        found = functools.reduce(getattr, qualname.split("."), found)
    except AttributeError as error:
        raise BadCall(f"AttributeError: {error}") from None
    if not callable(found):
        raise BadCall(f"{name} is a {type(found).__qualname__}, not a function")
    return found


def json_arguments(call: Any) -> tuple[list[Any], dict[str, Any]]:
    """The arguments that a JSON payload holds."""
    if isinstance(call, list):
        return call, {}
    if isinstance(call, dict):
        if call.keys() == {"args", "kwargs"} and isinstance(call["args"], list) and isinstance(call["kwargs"], dict):
            return call["args"], call["kwargs"]
        return [], call
    raise BadCall(f"the payload is a JSON {type(call).__name__}; a call is [args...] or {{kwargs}}")


def exit_code(error: SystemExit) -> int:
    """The exit code of a process that ends with ``error``."""
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code & 0xFF
    print(error.code, file=sys.stderr)
    return 1


def describe(error: BaseException) -> str:
    """``Type: text``, then the traceback from the task's own code on."""
    lines = traceback.format_exception_only(type(error), error)
    return f"{lines[-1].strip()}\n\n{''.join(traceback.format_exception(error))}"


def print_exception(error: BaseException) -> None:
    """To stderr, as an interpreter does when it ends with ``error``."""
    traceback.print_exception(error)


def flush() -> None:
    """Writes out what the task has printed."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):  # the task has closed it
            pass
