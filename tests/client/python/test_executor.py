"""The executor does what concurrent.futures.Executor documents."""

from __future__ import annotations

import concurrent.futures
import os
import pathlib
import pickle
import threading
from collections.abc import Iterator

import pytest

import functions
import prefork
from waiting import wait_until


@pytest.fixture(scope="module")
def executor() -> Iterator[prefork.Executor]:
    with prefork.Executor(2) as running:
        yield running


def noting(taken: list[int], count: int) -> Iterator[int]:
    """0, 1, ...; notes each when it is taken."""
    for number in range(count):
        taken.append(number)
        yield number


def test_submit_takes_positional_and_named_arguments(executor: prefork.Executor) -> None:
    assert executor.submit(functions.add, 1, y=2).result() == 3


def test_is_an_executor_and_gives_futures(executor: prefork.Executor) -> None:
    assert isinstance(executor, concurrent.futures.Executor)
    assert isinstance(executor.submit(functions.noop), concurrent.futures.Future)


def test_functions_run_in_other_processes(executor: prefork.Executor) -> None:
    assert executor.submit(os.getpid).result() != os.getpid()


def test_lambdas_and_closures_go_by_value(executor: prefork.Executor) -> None:
    offset = 7
    assert executor.submit(lambda x: x + offset, 1).result() == 8


def test_keywords_named_like_our_own_reach_the_function(executor: prefork.Executor) -> None:
    assert executor.submit(lambda **kwargs: kwargs, fn=1, self=2, timeout=3).result() == {"fn": 1, "self": 2, "timeout": 3}


def test_exception_has_the_remote_traceback_as_cause(executor: prefork.Executor) -> None:
    future = executor.submit(functions.fail, "text")
    with pytest.raises(ValueError) as caught:
        future.result()
    assert caught.value.args == ("text", 3)
    assert isinstance(caught.value.__cause__, prefork.RemoteTraceback)
    assert "functions.py" in str(caught.value.__cause__) and "in fail" in str(caught.value.__cause__)
    assert type(future.exception()) is ValueError


def test_unbuildable_exception_is_a_clear_error(executor: prefork.Executor) -> None:
    with pytest.raises(prefork.TaskFailed, match="TwoArguments"):
        executor.submit(functions.fail_unbuildable).result(20)


def test_unpicklable_result_is_a_clear_error(executor: prefork.Executor) -> None:
    with pytest.raises(Exception, match="pickle"):
        executor.submit(functions.unpicklable_result).result(20)


def test_unpicklable_argument_is_the_futures_exception(executor: prefork.Executor) -> None:
    error = executor.submit(functions.square, threading.Lock()).exception(20)  # type: ignore[arg-type]
    assert isinstance(error, (TypeError, pickle.PicklingError))


def test_done_callbacks(executor: prefork.Executor) -> None:
    seen: list[int] = []
    called = threading.Event()

    def note(future: concurrent.futures.Future[int]) -> None:
        seen.append(future.result())
        called.set()

    executor.submit(functions.square, 4).add_done_callback(note)
    assert called.wait(20)
    assert seen == [16]


def test_a_callback_that_raises_hurts_nobody(executor: prefork.Executor, caplog: pytest.LogCaptureFixture) -> None:
    executor.submit(functions.noop).add_done_callback(lambda future: 1 / 0)
    assert executor.submit(functions.square, 3).result(20) == 9


def test_a_callback_may_submit(executor: prefork.Executor) -> None:
    second: concurrent.futures.Future[concurrent.futures.Future[int]] = concurrent.futures.Future()
    executor.submit(functions.noop).add_done_callback(lambda _: second.set_result(executor.submit(functions.square, 5)))
    assert second.result(20).result(20) == 25


def test_wait_and_as_completed(executor: prefork.Executor, tmp_path: pathlib.Path) -> None:
    late, early = tmp_path / "late", tmp_path / "early"
    early.touch()
    futures = [executor.submit(functions.wait_for_file, path, path.name) for path in (late, early)]
    first = concurrent.futures.wait(futures, return_when=concurrent.futures.FIRST_COMPLETED)
    assert first.done == {futures[1]}
    completed = concurrent.futures.as_completed(futures, 20)
    assert next(completed).result() == "early"
    late.touch()
    assert next(completed).result() == "late"


def test_result_times_out_and_the_task_goes_on(executor: prefork.Executor, tmp_path: pathlib.Path) -> None:
    future = executor.submit(functions.wait_for_file, tmp_path / "gate", 5)
    with pytest.raises(concurrent.futures.TimeoutError):
        future.result(0.01)
    (tmp_path / "gate").touch()
    assert future.result(20) == 5


def test_map_keeps_the_order(executor: prefork.Executor) -> None:
    assert list(executor.map(functions.add, range(100), range(100))) == [2 * x for x in range(100)]


@pytest.mark.parametrize("chunksize", [2, 7, 100, 1000])
def test_map_in_chunks(executor: prefork.Executor, chunksize: int) -> None:
    assert list(executor.map(functions.square, range(100), chunksize=chunksize)) == [x * x for x in range(100)]


def test_map_raises_at_the_failed_item(executor: prefork.Executor) -> None:
    results = executor.map(functions.fail_at_three, range(10))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)


def test_map_times_out(executor: prefork.Executor) -> None:
    assert list(executor.map(functions.square, [2, 3], timeout=60)) == [4, 9]
    results = executor.map(functions.hang, [0], timeout=0.05)
    with pytest.raises(concurrent.futures.TimeoutError):
        next(results)


def test_map_collects_its_iterables_at_once(executor: prefork.Executor) -> None:
    taken: list[int] = []
    executor.map(functions.square, noting(taken, 5))
    assert taken == [0, 1, 2, 3, 4]


def test_map_with_a_buffersize_is_lazy(executor: prefork.Executor) -> None:
    taken: list[int] = []
    results = executor.map(functions.square, noting(taken, 50), buffersize=4)
    assert len(taken) == 4
    assert next(results) == 0
    assert len(taken) == 5
    assert list(results) == [x * x for x in range(1, 50)]


def test_map_of_nothing(executor: prefork.Executor) -> None:
    assert list(executor.map(functions.square, [])) == []
    assert list(executor.map(functions.square, [], chunksize=10)) == []


@pytest.mark.parametrize("arguments", [{"chunksize": 0}, {"chunksize": -1}, {"buffersize": 0}])
def test_map_refuses_sizes_below_one(executor: prefork.Executor, arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        executor.map(functions.square, [1], **arguments)


@pytest.mark.parametrize("name", ["max_workers", "max_tasks_per_child", "max_pending"])
@pytest.mark.parametrize("number", [0, -1])
def test_numbers_must_be_positive(name: str, number: int) -> None:
    with pytest.raises(ValueError, match=f"{name} must be greater than 0"):
        prefork.Executor(**{name: number})  # type: ignore[arg-type]


def test_shutdown_refuses_and_waits(tmp_path: pathlib.Path) -> None:
    executor = prefork.Executor(2)
    futures = [executor.submit(functions.wait_for_file, tmp_path / "gate") for _ in range(4)]
    with concurrent.futures.ThreadPoolExecutor() as threads:
        done = threads.submit(lambda: executor.shutdown() or [future.done() for future in futures])  # type: ignore[func-returns-value]
        wait_until(lambda: executor.closed, "the shutdown has begun")
        assert not any(future.done() for future in futures)
        (tmp_path / "gate").touch()
        assert done.result(20) == [True] * 4
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.submit(functions.noop)
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.map(functions.square, [1])
    executor.shutdown()


def test_shutdown_without_waiting_finishes_the_tasks(tmp_path: pathlib.Path) -> None:
    executor = prefork.Executor(2)
    future = executor.submit(functions.wait_for_file, tmp_path / "gate", 3)
    executor.shutdown(wait=False)
    assert not future.done()
    (tmp_path / "gate").touch()
    assert future.result(20) == 3


def test_shutdown_cancels_what_waits_and_nothing_else(tmp_path: pathlib.Path) -> None:
    executor = prefork.Executor(1)
    running = executor.submit(functions.leave_pid, tmp_path / "running", tmp_path / "gate")
    waiting = [executor.submit(functions.noop) for _ in range(20)]
    wait_until((tmp_path / "running").exists, "the first task runs")

    def let_it_end(_: object) -> None:
        if all(future.done() for future in waiting):
            (tmp_path / "gate").touch()

    for future in waiting:
        future.add_done_callback(let_it_end)
    executor.shutdown(cancel_futures=True)
    assert running.result() is None
    assert all(future.cancelled() for future in waiting)


def test_results_of_map_outlive_the_with_block() -> None:
    with prefork.Executor(2) as executor:
        results = executor.map(functions.square, range(10))
    assert list(results) == [x * x for x in range(10)]


def test_a_task_may_wait_for_its_own_in_a_full_pool() -> None:
    with prefork.Executor(1) as executor:
        assert executor.submit(functions.depth_below, 4).result(60) == 4


def test_many_threads(executor: prefork.Executor) -> None:
    sums: list[int] = []

    def work() -> None:
        sums.append(sum(executor.submit(functions.square, x).result(60) for x in range(100)))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sums == [sum(x * x for x in range(100))] * 8


def test_max_pending_makes_submit_wait(tmp_path: pathlib.Path) -> None:
    with prefork.Executor(2, max_pending=2) as executor, concurrent.futures.ThreadPoolExecutor() as threads:
        futures = [executor.submit(functions.wait_for_file, path, 2) for path in (tmp_path / "first", tmp_path / "second")]
        submitting = threading.Event()

        def submit_one_more() -> list[bool]:
            submitting.set()
            futures.append(executor.submit(functions.square, 2))
            return [future.done() for future in futures[:2]]

        done = threads.submit(submit_one_more)
        assert submitting.wait(20)
        (tmp_path / "first").touch()
        assert done.result(20) == [True, False]
        (tmp_path / "second").touch()
        assert [future.result(20) for future in futures] == [2, 2, 4]


def test_initializer_runs_in_each_worker() -> None:
    with prefork.Executor(2, initializer=functions.set_mark, initargs=("from initializer",)) as executor:
        assert set(executor.map(lambda _: functions.get_mark(), range(20))) == {"from initializer"}
    with prefork.Executor(2) as executor:
        assert executor.submit(functions.get_mark).result() == "unset"


def test_initializer_must_be_callable() -> None:
    with pytest.raises(TypeError, match="callable"):
        prefork.Executor(initializer=3)  # type: ignore[arg-type]


def test_executors_that_look_the_same_share_workers() -> None:
    with prefork.Executor(2) as executor:
        first = {executor.submit(os.getpid).result() for _ in range(20)}
    with prefork.Executor(2) as executor:
        assert {executor.submit(os.getpid).result() for _ in range(20)} <= first | set(executor.map(functions.pid, range(9)))


def test_pools_that_nobody_uses_end(executor: prefork.Executor) -> None:
    executor.connect()
    pool = executor._core.connection().call("GetPool", {"name": executor._core.pool_name})
    assert pool["spec"]["idle_timeout"] == "600s"


def test_workers_see_directory_and_environment(tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FROM_THE_CLIENT", "seen")
    with prefork.Executor(1) as executor:
        assert executor.submit(os.getcwd).result() == os.path.realpath(tmp_path)
        assert executor.submit(os.environ.get, "FROM_THE_CLIENT").result() == "seen"


def test_programs_in_other_directories_share_workers(tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with prefork.Executor(2) as here:
        pids = set(here.map(functions.pid, range(50)))
        directory = here.submit(os.getcwd).result()
        monkeypatch.chdir(tmp_path)
        with prefork.Executor(2) as there:
            assert there.submit(os.getcwd).result() == os.path.realpath(tmp_path)
            assert set(there.map(lambda _: os.getcwd(), range(5))) == {os.path.realpath(tmp_path)}
            assert set(there.map(functions.pid, range(50))) & pids
        assert here.submit(os.getcwd).result() == directory


def test_large_arguments_and_results(executor: prefork.Executor) -> None:
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(3_000_000, dtype=float)
    assert (executor.submit(lambda a: a * 2, array).result() == array * 2).all()
    assert executor.submit(len, b"x" * 50_000_000).result() == 50_000_000
