"""How a task is to be run, apart from the function and its arguments."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

_RETRY_CAUSES = {"error": 1, "crash": 2, "memory": 3, "timeout": 4}


@dataclass(frozen=True)
class Options:
    """Options of a task. Times are in seconds; None leaves the choice to the pool.

    Attributes:
        timeout: Of each attempt's running time; then its processes get SIGTERM, and SIGKILL after ``grace``.
        grace: Between SIGTERM and SIGKILL, for time-outs and cancellations.
        queue_timeout: From the submit until it first runs.
        retries: How often it may be tried again after an end that ``retry_on`` names.
        retry_on: Some of ``"error"`` (it raised), ``"crash"``, ``"memory"`` and ``"timeout"``.
        retry_delay: Before the second attempt; doubles with each further one.
        priority: Larger runs first, -1000 to 1000.
        delay: Not before so long after the submit.
        after: Futures or numbers of tasks that must succeed first; if one does not, this task is cancelled.
        labels: Names and values for ``prefork list --label`` and the like.
        key: The same submit with the same key, while the daemon knows the task, is the same task: it runs once.
        result_ttl: How long the daemon keeps the result after the end.
        dedicated: Run in a fresh process that ends with the task.
        detached: Go on when this program ends; ``prefork wait ID`` has the result.
        writable: Large arrays and buffers are copies that may be written to, in the task and in its result. Else both
            see them in shared memory, read-only and without a copy.
    """

    timeout: float | None = None
    grace: float | None = None
    queue_timeout: float | None = None
    retries: int = 0
    retry_on: Iterable[str] = ("crash",)
    retry_delay: float | None = None
    priority: int = 0
    delay: float | None = None
    after: Iterable[Any] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    key: str = ""
    result_ttl: float | None = None
    dedicated: bool = False
    detached: bool = False
    writable: bool = False

    def __post_init__(self) -> None:
        for name in ("timeout", "grace", "queue_timeout", "retry_delay", "delay", "result_ttl"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ValueError(f"{name} is {value!r}, but must be None or a number of seconds from 0 on")
        if self.retries < 0:
            raise ValueError(f"retries is {self.retries}, but must not be negative")
        if isinstance(self.retry_on, str):
            raise TypeError(f"retry_on is the string {self.retry_on!r}; write ({self.retry_on!r},)")
        for cause in self.retry_on:
            if cause not in _RETRY_CAUSES:
                raise ValueError(f"retry_on has {cause!r}, but knows only {', '.join(map(repr, _RETRY_CAUSES))}")

    def changed(self, changes: Mapping[str, Any]) -> Options:
        """These options with some replaced.

        Raises:
            TypeError: There is no option of a given name; the text lists all.
        """
        unknown = changes.keys() - _NAMES
        if unknown:
            raise TypeError(f"there is no option {min(unknown)!r}; there are {', '.join(sorted(_NAMES))}")
        return replace(self, **changes)

    @property
    def one_of_a_kind(self) -> bool:
        """Does each task need a spec of its own? ``key`` and ``after`` are sent with one task only."""
        return bool(self.key) or bool(self.after)

    def to_spec(self) -> dict[str, Any]:
        """The fields of a TaskSpec, as the extension takes them; waits until tasks in ``after`` have numbers."""
        spec: dict[str, Any] = {}
        for name in ("timeout", "grace", "queue_timeout", "delay", "result_ttl"):
            if (value := getattr(self, name)) is not None:
                spec[name] = float(value)
        for name in ("priority", "dedicated", "detached"):
            if value := getattr(self, name):
                spec[name] = value
        if self.labels:
            spec["labels"] = dict(self.labels)
        if self.key:
            spec["request_id"] = self.key
        if self.after:
            spec["after"] = [_task_id(each) for each in self.after]
        if self.retries:
            spec["retry"] = {"max_attempts": self.retries + 1, "on": [_RETRY_CAUSES[cause] for cause in self.retry_on]}
            if self.retry_delay is not None:
                spec["retry"]["backoff"] = float(self.retry_delay)
        return spec


_NAMES = frozenset(each.name for each in fields(Options))


def _task_id(task: Any) -> int:
    if isinstance(task, int):
        return task
    if isinstance(task, concurrent.futures.Future) and (number := getattr(task, "task_id", None)):
        return int(number)
    raise TypeError(f"after has {task!r}; it takes futures of prefork and numbers of tasks")
