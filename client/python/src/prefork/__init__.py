"""prefork: warm worker processes on this machine that no crash can break.

The names of this package are loaded when they are first used, so ``import prefork`` costs next to nothing and is safe in
a process that forks later.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import task as task, worker as worker

__version__ = "0.1.0"

# Where each public name lives; None: it is a module of its own.
_HOMES: dict[str, str | None] = {
    "task": None,
    "worker": None,
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOMES[name]
    module = importlib.import_module(f"{__name__}.{home or name}")
    value = module if home is None else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
