"""Sums up 80 MB of numbers in chunks: from a numpy array, which is copied once on its way, and from one that is not."""

import time

import numpy as np
import prefork


def square_sum(chunk):
    return float(np.sum(chunk**2))


def measure(what, compute):
    compute()  # once to warm up: fresh memory is slow
    begin = time.perf_counter()
    total = compute()
    print(f"{what:<20} total {total:.3f} in {(time.perf_counter() - begin) * 1e3:.0f} ms")


data = np.linspace(0.0, 1.0, 10_000_000)
shared = prefork.array(data.shape, data.dtype)
shared[:] = data

with prefork.Executor(2) as executor:
    measure("one process", lambda: square_sum(data))
    measure("numpy array", lambda: sum(executor.map(square_sum, np.split(data, 8))))
    measure("prefork.array", lambda: sum(executor.map(square_sum, np.split(shared, 8))))
