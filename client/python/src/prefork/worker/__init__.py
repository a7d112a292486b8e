"""The worker process: ``prefork.worker.index`` is its slot in the pool, None outside a worker."""

from __future__ import annotations

index: int | None = None
