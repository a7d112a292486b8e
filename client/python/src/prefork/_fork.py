"""What happens to connections when this process forks.

gRPC's threads do not survive a fork, and its locks may be held by them for ever. So before a fork, connections on which no
task is under way are closed, and gRPC with them; parent and child then start afresh with their next use, each with a
connection of its own. A connection with tasks under way stays as it is: the parent goes on as if nothing had happened, and
the child, which has gRPC's memory without its threads, gets an error that names the cure when it uses prefork.

Starting a program (``subprocess``, ``os.posix_spawn``) is no fork in this sense.
"""

from __future__ import annotations

import os
import threading

from . import _client, connection

# A callback of a future, or a call of another thread, that takes longer makes the connection count as busy.
_SETTLE_SECONDS = 1.0

_registered = False
_unusable = False


def check() -> None:
    """Raises RuntimeError in a child in which prefork can't work."""
    if _unusable:
        raise RuntimeError(
            "this process was forked while its parent had prefork tasks under way, so it can't use prefork itself. "
            "Cure: fork when no task is unfinished (executors shut down, futures done), or start this program with "
            "prefork.multiprocessing, subprocess or multiprocessing's 'spawn', which do not copy a running client"
        )


def register() -> None:
    """Called when this process gets a connection."""
    global _registered
    if not _registered:
        _registered = True
        os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)


def _before() -> None:
    for each in connection.every():
        each.let_settle(_SETTLE_SECONDS)
    connection._lock.acquire()
    if all(each.idle for each in connection.every()):
        closed = connection.take_all()
        for each in closed:
            each.close()
        for each in closed:
            each.let_calls_end(_SETTLE_SECONDS)
        _client.quiesce()


def _after_in_parent() -> None:
    connection._lock.release()


def _after_in_child() -> None:
    global _unusable
    connection._lock = threading.Lock()
    _unusable = _unusable or _client.grpc_in_use()
    orphans = [future for each in connection.take_all() for future in each.abandon()]
    for future in orphans:
        future._condition = threading.Condition()  # another thread may have held it
        try:
            check()
        except RuntimeError as error:
            connection.settle(future, None, error)
