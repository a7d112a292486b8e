"""The sum of squares of an array, in chunks: the sum itself comes back, not an exit code."""

import time

import numpy as np

from prefork import multiprocessing


def square_sum(chunk: np.ndarray) -> float:
    return float(np.sum(chunk**2))


data = np.random.default_rng(1).random(1_000_000)
chunks = np.array_split(data, 8)
with multiprocessing.Pool() as pool:
    pool.map(square_sum, [chunk[:1] for chunk in chunks])  # workers are ready now
    begin = time.perf_counter()
    total = sum(pool.map(square_sum, chunks, chunksize=1))
    seconds = time.perf_counter() - begin
assert np.isclose(total, np.sum(data**2))
print(f"total {total:.3f} in {seconds * 1e3:.0f} ms")
