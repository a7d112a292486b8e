"""prefork.multiprocessing.Pool does what the standard documentation says of Pool."""

from __future__ import annotations

import concurrent.futures
import itertools
import multiprocessing as standard
import os
import pathlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import functions
import prefork
from prefork import multiprocessing
from prefork.multiprocessing.pool import Pool
from waiting import wait_until


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    with multiprocessing.Pool(2) as running:
        yield running


def test_apply(pool: Pool) -> None:
    assert pool.apply(functions.add, (1,), {"y": 2}) == 3
    with pytest.raises(ValueError):
        pool.apply(functions.fail)


def test_apply_async(pool: Pool) -> None:
    result = pool.apply_async(functions.add, (1, 2))
    assert result.get(20) == 3
    assert result.ready() and result.successful()
    result.wait()
    failed = pool.apply_async(functions.fail)
    failed.wait(20)
    assert failed.ready() and not failed.successful()
    with pytest.raises(ValueError):
        failed.get()


def test_result_that_is_not_there_yet(pool: Pool, tmp_path: pathlib.Path) -> None:
    result = pool.apply_async(functions.wait_for_file, (tmp_path / "gate", 5))
    assert not result.ready()
    with pytest.raises(ValueError, match="not ready"):
        result.successful()
    with pytest.raises(multiprocessing.TimeoutError):
        result.get(timeout=0.01)
    assert multiprocessing.TimeoutError is standard.TimeoutError
    (tmp_path / "gate").touch()
    assert result.get(20) == 5


def test_callbacks(pool: Pool) -> None:
    values: list[Any] = []
    results = [
        pool.apply_async(functions.square, (3,), callback=values.append),
        pool.map_async(functions.square, range(5), callback=values.append),
        pool.apply_async(functions.fail, callback=values.append, error_callback=lambda error: values.append(type(error))),
    ]
    for result in results:
        result.wait(20)
    assert sorted(map(str, values)) == sorted(map(str, [9, [0, 1, 4, 9, 16], ValueError]))


@pytest.mark.parametrize("chunksize", [None, 1, 3, 100])
def test_map_and_starmap(pool: Pool, chunksize: int | None) -> None:
    assert pool.map(functions.square, range(20), chunksize) == [x * x for x in range(20)]
    assert pool.starmap(functions.add, zip(range(20), range(20)), chunksize) == [2 * x for x in range(20)]
    assert pool.map_async(functions.square, range(20), chunksize).get(20) == [x * x for x in range(20)]
    assert pool.starmap_async(functions.add, [(1, 2)], chunksize).get(20) == [3]
    assert pool.map(functions.square, [], chunksize) == []
    assert pool.map_async(functions.square, [], chunksize).get(20) == []


def test_map_raises_after_all_have_run(pool: Pool, tmp_path: os.PathLike[str]) -> None:
    with pytest.raises(ValueError, match="three"):
        pool.map(lambda x: (open(os.path.join(tmp_path, str(x)), "w").close(), functions.fail_at_three(x)), range(8), 1)
    assert sorted(os.listdir(tmp_path)) == [str(x) for x in range(8)]


@pytest.mark.parametrize("chunksize", [1, 7])
def test_imap(pool: Pool, chunksize: int) -> None:
    assert list(pool.imap(functions.square, range(50), chunksize)) == [x * x for x in range(50)]
    assert sorted(pool.imap_unordered(functions.square, range(50), chunksize)) == [x * x for x in range(50)]


def test_imap_takes_endless_iterables(pool: Pool) -> None:
    results = pool.imap(functions.square, itertools.count())
    assert [next(results) for _ in range(5)] == [0, 1, 4, 9, 16]
    results.stop()


def test_imap_goes_on_after_an_error(pool: Pool) -> None:
    results = pool.imap(functions.fail_at_three, range(6))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)
    assert list(results) == [4, 5]


def test_imap_next_times_out(pool: Pool, tmp_path: pathlib.Path) -> None:
    results = pool.imap(lambda value: functions.wait_for_file(tmp_path / "gate", value), [5, 6])
    with pytest.raises(multiprocessing.TimeoutError):
        results.next(timeout=0.01)
    (tmp_path / "gate").touch()
    assert results.next(timeout=20) == 5
    assert list(results) == [6]
    with pytest.raises(StopIteration):
        results.next()


def test_imap_unordered_gives_what_is_first(pool: Pool, tmp_path: pathlib.Path) -> None:
    late, early = tmp_path / "late", tmp_path / "early"
    early.touch()
    results = pool.imap_unordered(lambda path: functions.wait_for_file(path, path.name), [late, early])
    assert next(results) == "early"
    late.touch()
    assert list(results) == ["late"]


def test_close_and_join(tmp_path: pathlib.Path) -> None:
    pool = multiprocessing.Pool(2)
    with pytest.raises(ValueError, match="Pool is still running"):
        pool.join()
    result = pool.map_async(functions.wait_for_file, [tmp_path / "gate"] * 4, 1)
    results = pool.imap(functions.wait_for_file, iter([tmp_path / "gate"] * 2))
    pool.close()
    with concurrent.futures.ThreadPoolExecutor() as threads:
        ready = threads.submit(lambda: pool.join() or result.ready())  # type: ignore[func-returns-value]
        assert not result.ready()
        (tmp_path / "gate").touch()
        assert ready.result(20)
    assert result.get() == [None] * 4
    assert list(results) == [None] * 2
    for use in (pool.apply, pool.apply_async):
        with pytest.raises(ValueError, match="Pool not running"):
            use(functions.noop)
    for use in (pool.map, pool.imap, pool.imap_unordered, pool.starmap, pool.map_async, pool.starmap_async):
        with pytest.raises(ValueError, match="Pool not running"):
            use(functions.square, [1])
    with pytest.raises(ValueError, match="Pool not running"):
        pool.__enter__()


def test_terminate_stops_what_runs() -> None:
    pool = multiprocessing.Pool(2)
    results = pool.map_async(functions.hang, range(10), 1)
    pool.terminate()
    pool.join()
    with pytest.raises(concurrent.futures.CancelledError):
        results.get(20)


def test_with_terminates() -> None:
    with multiprocessing.Pool(2) as pool:
        pool.apply_async(functions.hang)
    with pytest.raises(ValueError, match="Pool not running"):
        pool.apply(functions.noop)


def test_initializer() -> None:
    with multiprocessing.Pool(2, functions.set_mark, ("initialized",)) as pool:
        assert set(pool.map(lambda _: functions.get_mark(), range(10))) == {"initialized"}


def test_maxtasksperchild() -> None:
    with multiprocessing.Pool(1, maxtasksperchild=2) as pool:
        pids: set[int] = set()
        wait_until(lambda: pids.add(pool.apply(os.getpid)) or len(pids) >= 3, "workers are replaced")  # type: ignore[func-returns-value]


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"processes": 0}, ValueError, "at least 1"),
        ({"processes": -1}, ValueError, "at least 1"),
        ({"maxtasksperchild": 0}, ValueError, "maxtasksperchild"),
        ({"maxtasksperchild": 1.5}, ValueError, "maxtasksperchild"),
        ({"initializer": 3}, TypeError, "callable"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        multiprocessing.Pool(**arguments)


def test_chunksize_must_be_positive(pool: Pool) -> None:
    with pytest.raises(ValueError, match="Chunksize must be 1"):
        pool.imap(functions.square, [1], 0)


def test_a_crash_costs_one_item(pool: Pool) -> None:
    results = pool.imap(lambda x: functions.die_by_signal() if x == 3 else x, range(10))
    values: list[Any] = []
    while True:
        try:
            values.append(next(results))
        except StopIteration:
            break
        except prefork.TaskCrashed as error:
            values.append(type(error))
    assert values == [0, 1, 2, prefork.TaskCrashed, 4, 5, 6, 7, 8, 9]


def test_workers_have_a_process(pool: Pool) -> None:
    names = set(pool.map(lambda _: multiprocessing.current_process().name, range(20), 1))
    assert names <= {"PoolWorker-1", "PoolWorker-2"}


def test_pools_can_not_be_pickled(pool: Pool) -> None:
    import pickle

    with pytest.raises(NotImplementedError, match="cannot be passed between processes"):
        pickle.dumps(pool)


def test_unpicklable_argument(pool: Pool) -> None:
    with pytest.raises(TypeError, match="pickle"):
        pool.apply(functions.square, (threading.Lock(),))
    with pytest.raises(TypeError, match="pickle"):
        pool.map(functions.square, [threading.Lock()])  # type: ignore[list-item]
