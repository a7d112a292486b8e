"""What workers do."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import numpy as np

T = TypeVar("T")


def same(value: T) -> T:
    return value


def square_sum(chunk: np.ndarray) -> float:
    return float((chunk**2).sum())


def meet(folder: str, number: int) -> int:
    """Uses numpy, waits until as many workers are here, and returns the process's number."""
    import numpy as np

    assert square_sum(np.ones(1000)) == 1000
    with open(os.path.join(folder, str(os.getpid())), "w"):
        pass
    while len(os.listdir(folder)) < number:
        time.sleep(0.001)
    return os.getpid()
