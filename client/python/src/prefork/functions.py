"""Naming a function for another process: by ``module:qualname`` when it can be imported there, else by value.

A function's pickle is kept while the function lives, but only as long as it is certain to be the same if it were made
again: everything that the function refers to must be unchangeable and still be the object it was. A function that
refers to a list, say, is pickled for each call, so that the worker always sees what the caller sees.
"""

from __future__ import annotations

import hashlib
import sys
import types
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple


class Function(NamedTuple):
    """A function as a task names it. ``digest`` and ``pickled`` are empty when it goes by name."""

    name: str
    digest: bytes
    pickled: bytes

    @property
    def by_value(self) -> bool:
        return bool(self.digest)


def describe(function: Callable[..., Any]) -> Function:
    """How to name ``function`` for a worker.

    Raises:
        TypeError: It is not callable.
        Exception: What pickling a function raises that has to go by value.
    """
    if not callable(function):
        raise TypeError(f"{function!r} is not callable")
    name = importable_name(function)
    if name is not None:
        return Function(name, b"", b"")
    if type(function) is not types.FunctionType:
        return _by_value(function)
    kept = _kept.get(function)
    if kept is None or not _unchanged(function, set()):
        _kept.pop(function, None)
        kept = _by_value(function)
        if _remember(function, set()):
            _kept[function] = kept
    return kept


def importable_name(function: Callable[..., Any]) -> str | None:
    """``module:qualname`` if a worker finds this very object under that name, else None."""
    module_name = getattr(function, "__module__", None)
    qualname = getattr(function, "__qualname__", None) or getattr(function, "__name__", None)
    if not isinstance(module_name, str) or not isinstance(qualname, str) or module_name in _PRIVATE_MODULES:
        return None
    module = sys.modules.get(module_name)
    if module is None or getattr(module, "__spec__", None) is None or _goes_by_value(module_name):
        return None
    found: Any = module
    for part in qualname.split("."):
        found = getattr(found, part, None)  # "<locals>" is found nowhere
    return f"{module_name}:{qualname}" if found is function else None


# Each process has its own.
_PRIVATE_MODULES = ("__main__", "__mp_main__")


def _goes_by_value(module_name: str) -> bool:
    """Has the user told cloudpickle to take this module along?"""
    cloudpickle = sys.modules.get("cloudpickle")
    if cloudpickle is None:
        return False
    registered = cloudpickle.list_registry_pickle_by_value()
    return any(module_name == name or module_name.startswith(name + ".") for name in registered)


def _by_value(function: Callable[..., Any]) -> Function:
    import cloudpickle

    pickled = cloudpickle.dumps(function, 5)
    name = getattr(function, "__qualname__", None) or getattr(function, "__name__", None) or type(function).__qualname__
    return Function(name.replace(":", "."), hashlib.blake2b(pickled, digest_size=16).digest(), pickled)


class _References(NamedTuple):
    """Everything that the pickle of one function depends on. Functions are held weakly: one may refer to itself."""

    code: types.CodeType
    defaults: tuple[Any, ...] | None
    names: tuple[str, ...]  # of globals
    values: list[Any]  # of the closure, then of these globals


_kept: weakref.WeakKeyDictionary[types.FunctionType, Function] = weakref.WeakKeyDictionary()
_references: weakref.WeakKeyDictionary[types.FunctionType, _References] = weakref.WeakKeyDictionary()

_UNCHANGEABLE = (int, float, complex, str, bytes, bool, type(None), type(...), types.BuiltinFunctionType)
_ABSENT = object()  # the value of a built-in's name, or of one that does not exist


def _remember(function: types.FunctionType, seen: set[types.FunctionType]) -> bool:
    """Notes what ``function`` refers to; False if a part of it could change unseen."""
    if function in seen:
        return True
    seen.add(function)
    if function.__dict__ or function.__kwdefaults__:
        return False
    names = tuple(_global_names(function.__code__))
    values = _current_values(function, names)
    if values is None or not all(_is_watched(value, seen) for value in (*(function.__defaults__ or ()), *values)):
        return False
    held = [weakref.ref(value) if type(value) is types.FunctionType else value for value in values]
    _references[function] = _References(function.__code__, function.__defaults__, names, held)
    return True


def _unchanged(function: types.FunctionType, seen: set[types.FunctionType]) -> bool:
    """Is everything that was noted still the same?"""
    if function in seen:
        return True
    seen.add(function)
    noted = _references.get(function)
    if noted is None or noted.code is not function.__code__ or noted.defaults is not function.__defaults__:
        return False
    values = _current_values(function, noted.names)
    if values is None or len(values) != len(noted.values):
        return False
    for value, held in zip(values, noted.values):
        if not isinstance(held, weakref.ref):
            if value is not held:
                return False
            continue
        referent = held()
        if referent is None or referent is not value:
            return False
        if importable_name(referent) is None and not _unchanged(referent, seen):
            return False
    return True


def _current_values(function: types.FunctionType, names: tuple[str, ...]) -> list[Any] | None:
    try:
        values = [cell.cell_contents for cell in function.__closure__ or ()]
    except ValueError:  # not filled yet
        return None
    return values + [function.__globals__.get(name, _ABSENT) for name in names]


def _is_watched(value: Any, seen: set[types.FunctionType]) -> bool:
    """Is ``value`` unchangeable, named only, or a function of which the same is true?"""
    if value is _ABSENT or type(value) in _UNCHANGEABLE or isinstance(value, types.ModuleType):
        return True
    if type(value) is tuple:
        return all(type(item) is not types.FunctionType and _is_watched(item, seen) for item in value)
    if callable(value) and importable_name(value) is not None:
        return True
    return type(value) is types.FunctionType and _remember(value, seen)


def _global_names(code: types.CodeType) -> set[str]:
    """Every name that the code, or code in it, may look up; attributes are among them and do no harm."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _global_names(constant)
    return names
