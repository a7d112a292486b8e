"""The C++ client library (client/cpp). Private: prefork.connection is its only user."""

from collections.abc import Mapping, Sequence
from typing import Any

from .codec import Buffer

# (key, kind, ...); the kinds:
#   0 succeeded           value, content_type, task_id, report | None
#   1 ended otherwise     value, content_type, task_id, report | None, state, error
#   2 rejected, or lost   status code, message, reason
#   3 state               state, attempt
#   4 output              is_stderr, offset, bytes
#   5 progress            done, total, text
#   6 partial result      index, value, content_type
#   7 will be retried     report, time of the next attempt (seconds since the epoch)

def grpc_in_use() -> bool:
    """Does this process, or the memory that it was forked with, have a running gRPC?"""

def usable_cpus() -> int:
    """Processors that this process may keep busy, by affinity and the cgroup's quota."""

def quiesce() -> None:
    """Waits until gRPC's threads have ended; for when nothing uses it any more."""

Item = tuple[Any, ...]

class Value:
    """Bytes too many to be copied; has the buffer protocol."""
    def __len__(self) -> int: ...

def address_of(buffer: Buffer | Segment) -> int:
    """Where its bytes lie in memory."""

class Segment:
    """Memory that is shared with workers; lends its bytes for writing by the buffer protocol."""
    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    @property
    def shared(self) -> bool:
        """False: the daemon is on another host."""
    def write(self, offset: int, parts: Sequence[Buffer], /) -> None:
        """Copies the parts to there, one after the other."""

class Payload:
    """Where the payload of a task lies; keeps the segment."""
    def __init__(self, segment: Segment, offset: int, size: int, /) -> None: ...

class Template:
    """What many tasks share, prepared for sending."""

class Inbox:
    """Where the events of a group of tasks gather. Keys are the caller's."""
    def submit(self, spec: Template | dict[str, Any], key: int, payload: Buffer | Payload) -> None:
        """Waits while too many tasks are in flight."""
    def take(self, timeout: float | None, interruptible: bool = True) -> list[Item]:
        """Waits for the first item; empty after the timeout, and once closed."""
    def wait_all(self, timeout: float | None) -> None:
        """Waits until all its tasks have ended."""
    def task_id(self, key: int, timeout: float | None) -> int:
        """Waits until the daemon has accepted the task."""
    def cancel(self, key: int, force: bool) -> None: ...
    def cancel_all(self, force: bool) -> None: ...
    def close(self) -> None: ...

class Connection:
    def __init__(
        self,
        address: str,
        autostart: bool,
        daemon_directory: str,
        output: bool,
        max_in_flight: int,
        connect_timeout: float,
        /,
    ) -> None: ...
    def inbox(self) -> Inbox: ...
    def prepare(self, spec: Mapping[str, Any]) -> Template: ...
    def call(self, method: str, request: str) -> str:
        """A call of the daemon with the JSON form of its messages."""
    def allocate(self, size: int) -> Segment:
        """Of arbitrary content. Raises QueueFull when there is no room."""
    def gather(self, parts: Sequence[Buffer]) -> Segment | None:
        """A payload of these parts, one after the other; None: there is no segment for it."""
    def reaches(self, segment: Segment) -> bool:
        """Would a worker find the segment in place?"""
    def close(self) -> None:
        """Ends what is unfinished, and lets go of gRPC; templates and inboxes of the connection are of no use any more."""
    def abandon(self) -> None:
        """Leaves it as it is, for ever: in a forked child its threads are not there to end it."""
    @property
    def unfinished(self) -> int:
        """Tasks of all inboxes that have not ended."""
    @property
    def address(self) -> str: ...
    @property
    def daemon_version(self) -> str: ...
