"""What prefork's futures do beyond the standard ones: cancel, time out, retry, stream, tell."""

from __future__ import annotations

import concurrent.futures
import os
import pathlib
import signal
from collections.abc import Iterator

import pytest

import functions
import prefork
from waiting import wait_until


@pytest.fixture(scope="module")
def executor() -> Iterator[prefork.Executor]:
    with prefork.Executor(2) as running:
        yield running


def is_gone(pid: int) -> bool:
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):  # before it was opened, before it was read
        return True
    return text.rpartition(")")[2].split()[0] == "Z"


def wait_and_touch(gate: pathlib.Path, mark: pathlib.Path) -> None:
    functions.wait_for_file(gate)
    mark.touch()


def pid_in(mark: pathlib.Path) -> int:
    wait_until(mark.exists, f"{mark} is written")
    return int(mark.read_text())


def test_cancel_stops_a_running_task(executor: prefork.Executor, tmp_path: pathlib.Path) -> None:
    future = executor.submit(functions.leave_pid, tmp_path / "pid")
    pid = pid_in(tmp_path / "pid")
    assert future.running()
    assert future.cancel()
    assert future.cancelled() and future.done() and not future.running()
    wait_until(lambda: is_gone(pid), "the process ends")
    with pytest.raises(concurrent.futures.CancelledError):
        future.result()
    assert future.cancel()
    assert executor.submit(functions.square, 2).result() == 4


def test_cancel_after_the_end_is_refused(executor: prefork.Executor) -> None:
    future = executor.submit(functions.noop)
    future.result()
    assert not future.cancel()


def test_cancel_wakes_waiters(executor: prefork.Executor) -> None:
    future = executor.submit(functions.hang)
    future.cancel()
    assert concurrent.futures.wait([future], 20).done == {future}
    assert list(concurrent.futures.as_completed([future], 20)) == [future]


def test_timeout(executor: prefork.Executor) -> None:
    with pytest.raises(prefork.TaskTimeout) as caught:
        executor.options(timeout=0.1).submit(functions.hang).result(20)
    assert isinstance(caught.value, TimeoutError) and isinstance(caught.value, concurrent.futures.TimeoutError)
    assert caught.value.report is not None and caught.value.report.cause == "timeout"
    assert "Why did my task die?" in str(caught.value)


def test_queue_timeout(executor: prefork.Executor) -> None:
    with prefork.Executor(1) as single:
        blocker = single.submit(functions.hang)
        with pytest.raises(prefork.TaskTimeout):
            single.options(queue_timeout=0.1).submit(functions.noop).result(20)
        blocker.cancel()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_crash_by_signal_fails_one_future(executor: prefork.Executor, number: int) -> None:
    others = [executor.submit(functions.square, x) for x in range(10)]
    crashing = executor.submit(functions.die_by_signal, number)
    others += [executor.submit(functions.square, x) for x in range(10)]
    with pytest.raises(prefork.TaskCrashed) as caught:
        crashing.result(20)
    assert isinstance(caught.value, RuntimeError)
    assert not isinstance(caught.value, concurrent.futures.BrokenExecutor)
    assert caught.value.report is not None and caught.value.report.signal == number
    assert crashing.report == caught.value.report
    assert caught.value.task_id == crashing.task_id != 0
    assert [future.result(20) for future in others] == [x * x for x in range(10)] * 2


def test_crash_by_exit_code(executor: prefork.Executor) -> None:
    with pytest.raises(prefork.TaskCrashed) as caught:
        executor.submit(functions.die_with_code, 3).result(20)
    assert caught.value.report is not None and caught.value.report.exit_code == 3


def test_sys_exit_is_the_tasks_error(executor: prefork.Executor) -> None:
    with pytest.raises((SystemExit, prefork.TaskFailed)):
        executor.submit(functions.exit_with, 4).result(20)


def test_retries_after_a_crash(executor: prefork.Executor, tmp_path: pathlib.Path) -> None:
    future = executor.options(retries=1, retry_delay=0).submit(functions.die_once, str(tmp_path / "mark"))
    assert future.result(20) == "second"


def test_retries_only_what_was_asked_for(executor: prefork.Executor) -> None:
    with pytest.raises(ValueError):
        executor.options(retries=3, retry_delay=0).submit(functions.fail).result(20)


def test_map_loses_one_item_to_a_crash(executor: prefork.Executor) -> None:
    results = executor.map(lambda x: functions.die_by_signal() if x == 3 else x, range(10))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(prefork.TaskCrashed):
        next(results)


def test_progress_and_stream(executor: prefork.Executor) -> None:
    said: list[prefork.Progress] = []
    future = executor.submit(functions.count, 5)
    future.on_progress(said.append)
    assert list(future.stream(20)) == [0, 1, 2, 3, 4]
    assert future.result() == "counted"
    assert future.progress == prefork.Progress(5, 5, "step 5")
    assert list(future.stream()) == [0, 1, 2, 3, 4]
    assert said == [] or said[-1] == future.progress


def test_stream_raises_the_tasks_error(executor: prefork.Executor) -> None:
    with pytest.raises(ValueError):
        list(executor.submit(functions.fail).stream(20))


def test_stream_times_out(executor: prefork.Executor) -> None:
    future = executor.submit(functions.hang)
    with pytest.raises(concurrent.futures.TimeoutError):
        list(future.stream(0.05))
    future.cancel()


def test_priority_runs_first(tmp_path: pathlib.Path) -> None:
    order: list[str] = []
    with prefork.Executor(1) as executor:
        executor.submit(functions.leave_pid, tmp_path / "pid", tmp_path / "gate")
        pid_in(tmp_path / "pid")
        low = executor.options(priority=-5).submit(functions.noop)
        high = executor.options(priority=5).submit(functions.noop)
        low.add_done_callback(lambda _: order.append("low"))
        high.add_done_callback(lambda _: order.append("high"))
        (tmp_path / "gate").touch()
    assert order == ["high", "low"]


def test_after_waits_for_other_tasks(executor: prefork.Executor, tmp_path: pathlib.Path) -> None:
    gate, mark = tmp_path / "gate", tmp_path / "done"
    first = executor.submit(wait_and_touch, gate, mark)
    second = executor.options(after=[first]).submit(mark.exists)
    executor.submit(functions.noop).result(20)  # a worker is free
    assert not second.done()
    gate.touch()
    assert second.result(20) is True


def test_after_a_failure_is_cancelled(executor: prefork.Executor) -> None:
    first = executor.submit(functions.fail)
    second = executor.options(after=[first]).submit(functions.noop)
    with pytest.raises(prefork.TaskCancelled) as caught:
        second.result(20)
    assert isinstance(caught.value, concurrent.futures.CancelledError)


def test_same_key_is_the_same_task(executor: prefork.Executor) -> None:
    keyed = executor.options(key="the only one")
    assert keyed.submit(os.getpid).task_id == keyed.submit(os.getpid).task_id


def test_labels_reach_the_daemon(executor: prefork.Executor) -> None:
    from prefork.connection import connect

    future = executor.options(labels={"colour": "blue"}).submit(functions.noop)
    future.result()
    assert connect().call("GetTask", {"task_id": future.task_id})["spec"]["labels"] == {"colour": "blue"}


def test_dedicated_runs_in_a_process_of_its_own(executor: prefork.Executor) -> None:
    shared = set(executor.map(functions.pid, range(20)))
    assert executor.options(dedicated=True).submit(os.getpid).result(20) not in shared


def test_options_keep_to_the_function_they_are_for(executor: prefork.Executor, tmp_path: pathlib.Path) -> None:
    quick = executor.options(timeout=0.05)
    unlimited = executor.submit(functions.leave_pid, tmp_path / "pid", tmp_path / "gate")
    pid_in(tmp_path / "pid")
    with pytest.raises(prefork.TaskTimeout):
        quick.submit(functions.hang).result(20)
    (tmp_path / "gate").touch()  # it has run for longer than the other was allowed to
    assert unlimited.result(20) is None


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"timeot": 3}, TypeError, "no option 'timeot'; there are after"),
        ({"timeout": -1}, ValueError, "timeout is -1"),
        ({"retries": -1}, ValueError, "retries is -1"),
        ({"retry_on": ["crush"]}, ValueError, "'crush'"),
        ({"retry_on": "crash"}, TypeError, "write"),
    ],
)
def test_bad_options(executor: prefork.Executor, options: dict[str, object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        executor.options(**options)


def test_bad_option_of_the_daemon_is_its_words(executor: prefork.Executor) -> None:
    with pytest.raises(prefork.RequestRejected, match="priority"):
        executor.options(priority=5000).submit(functions.noop).result(20)


def test_output_comes_here_on_request(capfd: pytest.CaptureFixture[str]) -> None:
    pieces: list[tuple[str, bytes]] = []
    with prefork.Executor(1, output=lambda stream, data: pieces.append((stream, data))) as executor:
        executor.submit(functions.speak, "hello").result(20)
    assert b"".join(data for stream, data in pieces if stream == "stdout") == b"hello\n"
    assert b"".join(data for stream, data in pieces if stream == "stderr") == b"error: hello\n"
    with prefork.Executor(1, output=True) as executor:
        executor.submit(functions.speak, "hello").result(20)
    with prefork.Executor(1) as executor:
        executor.submit(functions.speak, "unheard").result(20)
    assert capfd.readouterr() == ("hello\n", "error: hello\n")


def test_failing_initializer_fails_the_futures_with_its_words() -> None:
    with prefork.Executor(1, initializer=functions.fail, initargs=("bad initializer",)) as executor:
        with pytest.raises(prefork.PoolBroken, match="bad initializer") as caught:
            executor.submit(functions.noop).result(60)
        assert isinstance(caught.value, concurrent.futures.BrokenExecutor)
        with pytest.raises(prefork.PoolBroken, match="bad initializer"):
            list(executor.map(functions.square, [1]))
