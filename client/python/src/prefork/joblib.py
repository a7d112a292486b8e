"""A backend for joblib::

    import joblib, prefork.joblib
    prefork.joblib.register()
    with joblib.parallel_config("prefork"):
        joblib.Parallel(n_jobs=4)(joblib.delayed(f)(x) for x in items)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import joblib
from joblib.parallel import AutoBatchingMixin, ParallelBackendBase

from . import _client
from .executor import Executor
from .future import Future

__all__ = ["PreforkBackend", "register"]


class PreforkBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]
    """Runs joblib's batches on an ``Executor``; arguments are the executor's.

    A batch whose worker dies raises ``TaskCrashed`` from ``Parallel``, and the workers go on.
    """

    supports_retrieve_callback = True
    supports_inner_max_num_threads = False
    uses_threads = False
    supports_sharedmem = False

    def __init__(self, nesting_level: int | None = None, inner_max_num_threads: int | None = None, **arguments: Any) -> None:
        super().__init__(nesting_level=nesting_level, inner_max_num_threads=inner_max_num_threads)
        self._arguments = arguments
        self._executor: Executor | None = None

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """How many workers ``n_jobs`` means: -1 is all processors we may use, -2 all but one."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is None:
            return 1
        return n_jobs if n_jobs > 0 else max(1, _client.usable_cpus() + 1 + n_jobs)

    def configure(self, n_jobs: int = 1, parallel: Any = None, **unused: Any) -> int:
        """Called when a Parallel begins."""
        n_jobs = self.effective_n_jobs(n_jobs)
        self.parallel = parallel
        self._executor = Executor(n_jobs, **self._arguments)
        return n_jobs

    def submit(self, func: Callable[[], Any], callback: Callable[[Future[Any]], object] | None = None) -> Future[Any]:
        """Schedules a batch."""
        assert self._executor is not None
        future = self._executor.submit(func)
        if callback is not None:
            future.add_done_callback(callback)  # type: ignore[arg-type]
        return future

    apply_async = submit

    def retrieve_result_callback(self, out: Future[Any]) -> Any:
        """The results of a batch."""
        return out.result()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """After an error: stops the batches that run."""
        assert self._executor is not None
        self._executor.cancel_all()
        if ensure_ready:
            self.configure(n_jobs=self.parallel.n_jobs, parallel=self.parallel)

    def terminate(self) -> None:
        """Called when a Parallel ends."""
        if self._executor is not None:
            self._executor.shutdown(wait=False)
            self._executor = None


def register(make_default: bool = False) -> None:
    """Makes the backend known to joblib as "prefork".

    Args:
        make_default: Use it wherever no other is chosen.
    """
    joblib.register_parallel_backend("prefork", PreforkBackend, make_default=make_default)
