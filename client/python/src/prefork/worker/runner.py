"""Runs one task after the other in a worker process."""

from __future__ import annotations

import base64
import faulthandler
import functools
import gc
import importlib
import json
import os
import pickle
import signal
import sys
import threading
import traceback
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .. import _worker, codec
from . import failure, imports
from .failure import BadCall
from .streams import Streams

# Functions that came by value and are kept, the last used ones.
_MAX_KEPT_FUNCTIONS = 256


class Ended(NamedTuple):
    """How a task ended, as the extension wants it."""

    error: str | None  # None: it succeeded
    content_type: str
    parts: Sequence[codec.Buffer]
    exit_code: int | None = None  # of its process, if it has one of its own and chose to end it


class Runner:
    """The Python side of a zygote and its workers.

    Args:
        path: All of ``sys.path``; None: as it is.
        preload: Modules to import before workers are forked.
        initializer: A function that each worker calls first: base64 of its cloudpickle; may be empty.
        learns: Are modules that tasks import to be shared by later workers?
    """

    def __init__(self, path: list[str] | None, preload: list[str], initializer: str, learns: bool) -> None:
        self._path = path
        self._preload = preload
        self._initializer = initializer
        self._by_name: dict[str, Callable[..., Any]] = {}
        self._by_digest: OrderedDict[bytes, Callable[..., Any]] = OrderedDict()
        roots = imports.installed_roots()
        self._user_modules = imports.UserModules(roots)
        self._learner = imports.Learner(roots) if learns else None
        self._cwd = os.getcwd()
        self._failed_call: int | None = None  # place in its chunk

    # --- in the zygote ---

    def load(self) -> None:
        """Once, before any worker. What it raises is the reason why the pool can't start."""
        # An empty entry means the working directory, and that is not the same for all tasks.
        sys.path[:] = [entry or self._cwd for entry in (sys.path if self._path is None else self._path)]
        imports.preload(self._preload)
        self._user_modules.note()
        _freeze()

    def news_fd(self) -> int:
        """Readable when ``news`` is to be called; -1: never."""
        return self._learner.fileno() if self._learner is not None else -1

    def news(self) -> None:
        """Imports what workers have told."""
        if self._learner is not None:
            self._learner.learn()
            self._user_modules.note()  # so that no worker has to look at them
            _freeze()

    # --- in a worker ---

    def start(self, index: int) -> None:
        """Before it is ready. What it raises is the reason why it can't start."""
        from .. import worker

        worker.index = index
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        os.register_at_fork(after_in_child=_worker.forget_task)
        self._streams = Streams()
        faulthandler.enable(2)  # the report of a segfault then shows where in Python it was
        if self._learner is not None:
            self._learner.begin_worker()
        if self._initializer:
            try:
                pickle.loads(base64.b64decode(self._initializer))()
            finally:
                self._streams.end_task()

    def run(self, name: str, content_type: str, payload: Any, dedicated: bool, rested: bool) -> Ended:
        """Runs a task to its end, whatever that is.

        Args:
            name: Of the function.
            content_type: Of the payload.
            payload: A read-only buffer.
            dedicated: The process is the task's own and ends with it.
            rested: The worker has slept since the last task.
        """
        self._failed_call = None
        try:
            if rested:
                self._take_new_code()
            return self._run(name, content_type, memoryview(payload))
        except BadCall as error:
            return Ended(str(error), "", ())
        except BaseException as error:
            return self._fail(error, content_type, dedicated)
        finally:
            if dedicated:
                _join_threads()
            self._streams.end_task()
            self._user_modules.note()
            if self._learner is not None:
                self._learner.tell()

    def no_memory(self, why: str, content_type: str) -> Ended:
        """What the task ends with when there is no room for its value.

        Args:
            content_type: Of the call.
        """
        return self._fail(MemoryError(why), content_type, dedicated=False)

    def _take_new_code(self) -> None:
        if self._user_modules.drop_changed():
            self._by_name.clear()
            self._by_digest.clear()

    def _fail(self, error: BaseException, content_type: str, dedicated: bool) -> Ended:
        if dedicated and isinstance(error, SystemExit):
            return Ended(None, "", (), failure.exit_code(error))
        text = failure.describe(error)
        if dedicated:
            sys.stderr.write(failure.traceback_text(error))
        if not content_type.startswith(codec.PICKLE):
            return Ended(text, "", ())
        encoded = failure.encode(error, self._failed_call)
        if encoded is None:
            return Ended(text, "", ())
        return Ended(text, encoded.content_type, encoded.parts)

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
            function = self._unpickle_function(call[0], call[1])
            args, kwargs, *context = call[2:]
        else:
            function = self._find(name)
            args, kwargs, *context = call
        self._user_modules.note()  # before the task has time to change them
        home = self._enter(context[0]) if context else None
        try:
            if codec.CALLS in content_type:
                value = self._run_chunk(function, args, kwargs)
            else:
                value = function(*args, **kwargs)
        finally:
            if home is not None:
                os.chdir(home)
        try:
            encoded = codec.dumps(codec.lighten(value), codec.WRITABLE if codec.WRITABLE in content_type else "")
            return Ended(None, encoded.content_type, encoded.parts)
        except Exception as error:
            failure.refuse_value(value, error)

    def _run_chunk(self, function: Callable[..., Any], calls: list[tuple[Any, ...]], kwargs: dict[str, Any]) -> list[Any]:
        values: list[Any] = []
        try:
            for args in calls:
                values.append(function(*args, **kwargs))
        except BaseException:
            self._failed_call = len(values)
            raise
        return values

    def _enter(self, context: dict[str, Any]) -> str | None:
        """Goes where the caller is; returns where to go back to."""
        cwd = context.get("cwd")
        if cwd is None or cwd == self._cwd:
            return None
        os.chdir(cwd)
        return self._cwd

    def _run_json(self, function: Callable[..., Any], payload: memoryview) -> Ended:
        try:
            call = json.loads(bytes(payload))
        except ValueError as error:
            raise BadCall(f"the payload is not JSON: {error}") from None
        args, kwargs = _json_arguments(call)
        value = function(*args, **kwargs)
        try:
            text = json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise BadCall(f"the result, a {type(value).__qualname__}, is not JSON: {error}") from None
        return Ended(None, codec.JSON, (text,))

    def _run_bytes(self, function: Callable[..., Any], payload: memoryview) -> Ended:
        value = function(bytes(payload))
        if value is None:
            value = b""
        if not isinstance(value, (bytes, bytearray, memoryview)):
            raise BadCall(f"a call with bytes returns bytes, not a {type(value).__qualname__}; JSON takes other values")
        return Ended(None, codec.BYTES, (value,))

    def _find(self, name: str) -> Callable[..., Any]:
        function = self._by_name.get(name)
        if function is None:
            function = self._by_name[name] = _import_function(name)
            self._user_modules.note()
        return function

    def _unpickle_function(self, digest: bytes, pickled: bytes) -> Callable[..., Any]:
        function = self._by_digest.get(digest)
        if function is not None:
            self._by_digest.move_to_end(digest)
            return function
        loaded: Callable[..., Any] = pickle.loads(pickled)
        self._by_digest[digest] = loaded
        if len(self._by_digest) > _MAX_KEPT_FUNCTIONS:
            self._by_digest.popitem(last=False)
        return loaded


def _import_function(name: str) -> Callable[..., Any]:
    module_name, colon, qualname = name.partition(":")
    if not colon or not module_name or not qualname:
        raise BadCall(f"function {name!r} is not of the form module:function")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name + ".").startswith(error.name + "."):
            raise
        raise ModuleNotFoundError(
            f"no module named {error.name!r} on sys.path, which is {sys.path}", name=error.name
        ) from None
    function: Callable[..., Any] = functools.reduce(getattr, qualname.split("."), found)
    if not callable(function):
        raise TypeError(f"{name} is a {type(function).__qualname__}, not a function")
    return function


def _json_arguments(call: Any) -> tuple[list[Any], dict[str, Any]]:
    if isinstance(call, list):
        return call, {}
    if isinstance(call, dict):
        if call.keys() == {"args", "kwargs"} and isinstance(call["args"], list) and isinstance(call["kwargs"], dict):
            return call["args"], call["kwargs"]
        return [], call
    raise BadCall(f"the payload is a JSON {type(call).__name__}; a call is [args...] or {{kwargs}}")


def _join_threads() -> None:
    """As an interpreter does before it ends."""
    try:
        threading._shutdown()  # type: ignore[attr-defined]
    except BaseException:
        traceback.print_exc()


def _freeze() -> None:
    """Keeps the collector from writing to memory that workers share with the zygote."""
    gc.collect()
    gc.freeze()
