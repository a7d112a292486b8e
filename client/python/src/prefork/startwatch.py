"""Tells an executor when its pool can't start workers, so that its futures fail with the reason instead of waiting.

The daemon goes on trying: what stops workers from starting may be cured at any time, and other programs may wait for that.
An executor gives up what it has submitted so far; a later submit finds the pool as it is then.
"""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING

from .errors import PoolBroken, PreforkError

if TYPE_CHECKING:
    from .connection import Connection
    from .core import Core

_FIRST_LOOK = 0.01
_LONGEST_PAUSE = 1.0


def watch_start(core: Core, connection: Connection) -> None:
    """Watches the pool of ``core`` until it is ready; one that belongs to ``core`` alone, until that is shut down."""
    threading.Thread(target=_watch, args=(weakref.ref(core), connection), name="prefork-start", daemon=True).start()


def _watch(core_ref: weakref.ref[Core], connection: Connection) -> None:
    pause = _FIRST_LOOK
    while True:
        core = core_ref()
        if core is None or core.drained.wait(pause) or not connection.usable:
            return
        try:
            pool = connection.call("GetPool", {"name": core.pool_name})
        except PreforkError:
            return  # the tasks hear of it themselves
        if pool["state"] == "POOL_STATE_DEGRADED":
            core.fail_all(PoolBroken(f"pool {core.pool_name} can't start workers: {pool['reason']}"))
            core.forget_connection()
            return
        if pool["state"] == "POOL_STATE_READY" and not core.private:
            return
        del core
        pause = min(2 * pause, _LONGEST_PAUSE)
