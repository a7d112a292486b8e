"""Contexts: all start methods are the same here, since workers are forked from a warm zygote, never from this program."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .. import _client
from . import pool, process

_METHODS = ("forkserver", "spawn", "fork")
_chosen: str | None = None


def cpu_count() -> int:
    """Processors that this program may use: what affinity and the cgroup's quota allow."""
    return _client.usable_cpus()


def Pool(
    processes: int | None = None,
    initializer: Callable[..., object] | None = None,
    initargs: Iterable[Any] = (),
    maxtasksperchild: int | None = None,
) -> pool.Pool:
    """A pool of worker processes; see ``prefork.multiprocessing.pool.Pool``."""
    return pool.Pool(processes, initializer, initargs, maxtasksperchild)


def freeze_support() -> None:
    """Does nothing, as on every Unix."""


class Context:
    """What ``get_context`` returns: the names of this package as attributes."""

    Process = process.Process
    Pool = staticmethod(Pool)
    cpu_count = staticmethod(cpu_count)
    current_process = staticmethod(process.current_process)
    parent_process = staticmethod(process.parent_process)
    active_children = staticmethod(process.active_children)
    freeze_support = staticmethod(freeze_support)

    def __init__(self, method: str) -> None:
        self._name = method

    def get_start_method(self, allow_none: bool = False) -> str:
        """The name that it was made with."""
        return self._name

    def get_context(self, method: str | None = None) -> Context:
        """A context for ``method``.

        Raises:
            ValueError: There is no such method.
        """
        return self if method is None else get_context(method)


def get_context(method: str | None = None) -> Context:
    """A context for ``method``: "fork", "spawn", "forkserver" or None. They differ in name only.

    Raises:
        ValueError: There is no such method.
    """
    if method is not None and method not in _METHODS:
        raise ValueError(f"cannot find context for {method!r}")
    return Context(method or _chosen or _METHODS[0])


def get_all_start_methods() -> list[str]:
    """The names that ``set_start_method`` takes, the default first."""
    return list(_METHODS)


def get_start_method(allow_none: bool = False) -> str | None:
    """The name that was set, or the default; None if none was set and that is allowed."""
    return _chosen if _chosen is not None or allow_none else _METHODS[0]


def set_start_method(method: str | None, force: bool = False) -> None:
    """Notes the name. Workers start in the same way whatever it is.

    Raises:
        RuntimeError: One has been set, and not ``force``.
        ValueError: There is no such method.
    """
    global _chosen
    if _chosen is not None and not force:
        raise RuntimeError("context has already been set")
    if method is not None:
        get_context(method)
    _chosen = method
