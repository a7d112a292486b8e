"""The asyncio twin: awaits, streams, and cancellation that reaches the process."""

from __future__ import annotations

import asyncio
import pathlib
from collections.abc import Awaitable, Callable

import pytest

import functions
import prefork
from prefork.asyncio import Executor
from test_tasks import is_gone, pid_in
from waiting import wait_until


def run(coroutine: Callable[[Executor], Awaitable[object]], **arguments: int) -> None:
    async def main() -> None:
        async with Executor(2, **arguments) as executor:
            await coroutine(executor)

    asyncio.run(asyncio.wait_for(main(), 60))


def test_run_and_submit() -> None:
    async def main(executor: Executor) -> None:
        assert await executor.run(functions.add, 1, y=2) == 3
        future = executor.submit(functions.square, 3)
        assert isinstance(future, asyncio.Future)
        assert await asyncio.gather(future, executor.run(functions.square, 4)) == [9, 16]
        with pytest.raises(ValueError):
            await executor.run(functions.fail)
        with pytest.raises(prefork.TaskCrashed):
            await executor.run(functions.die_by_signal)
        with pytest.raises(prefork.TaskTimeout):
            await executor.options(timeout=0.1).run(functions.hang)

    run(main)


def test_the_loop_goes_on_meanwhile(tmp_path: pathlib.Path) -> None:
    marks = [tmp_path / "first", tmp_path / "second"]

    async def main(executor: Executor) -> None:
        async def end_both() -> None:
            for mark in marks:
                await asyncio.to_thread(pid_in, mark)
            (tmp_path / "gate").touch()

        await asyncio.gather(*(executor.run(functions.leave_pid, mark, tmp_path / "gate") for mark in marks), end_both())

    run(main)


def test_cancellation_stops_the_process(tmp_path: pathlib.Path) -> None:
    async def main(executor: Executor) -> None:
        task = asyncio.ensure_future(executor.run(functions.leave_pid, tmp_path / "pid"))
        pid = await asyncio.to_thread(pid_in, tmp_path / "pid")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(wait_until, lambda: is_gone(pid), "the process ends")

    run(main)


def test_timeout_of_asyncio_stops_the_process(tmp_path: pathlib.Path) -> None:
    async def main(executor: Executor) -> None:
        task = asyncio.ensure_future(executor.run(functions.leave_pid, tmp_path / "pid"))
        pid = await asyncio.to_thread(pid_in, tmp_path / "pid")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(task, 0.05)
        await asyncio.to_thread(wait_until, lambda: is_gone(pid), "the process ends")

    run(main)


def test_stream() -> None:
    async def main(executor: Executor) -> None:
        assert [part async for part in executor.stream(functions.count, 5)] == [0, 1, 2, 3, 4]
        with pytest.raises(ValueError):
            async for _ in executor.stream(functions.fail):
                pass

    run(main)


def test_map_is_ordered_and_lazy() -> None:
    taken: list[int] = []

    def numbers() -> object:
        for number in range(50):
            taken.append(number)
            yield number

    async def main(executor: Executor) -> None:
        results = executor.map(functions.square, numbers(), buffersize=4)  # type: ignore[arg-type]
        assert await results.__anext__() == 0
        assert len(taken) == 5
        assert [value async for value in results] == [x * x for x in range(1, 50)]

    run(main)


def test_max_pending_bounds_run(tmp_path: pathlib.Path) -> None:
    async def main(executor: Executor) -> None:
        first = asyncio.ensure_future(executor.run(functions.leave_pid, tmp_path / "pid", tmp_path / "gate"))
        second = asyncio.ensure_future(executor.run(pathlib.Path.touch, tmp_path / "mark"))
        await asyncio.to_thread(pid_in, tmp_path / "pid")
        await executor.submit(functions.noop)  # is not bounded: a worker is free
        assert not (tmp_path / "mark").exists()
        (tmp_path / "gate").touch()
        await asyncio.gather(first, second)
        assert (tmp_path / "mark").exists()

    run(main, max_pending=1)


def test_shutdown_refuses() -> None:
    async def main(executor: Executor) -> None:
        await executor.shutdown()
        with pytest.raises(RuntimeError, match="after shutdown"):
            await executor.run(functions.noop)

    run(main)
