"""The asyncio twin: awaits, streams, and cancellation that reaches the process."""

from __future__ import annotations

import asyncio
import pathlib
import time
from collections.abc import Awaitable, Callable

import pytest

import functions
import prefork
from conftest import wait_until
from prefork.asyncio import Executor
from test_tasks import is_gone, pid_in


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
            await executor.options(timeout=0.1).run(functions.sleep, 60)

    run(main)


def test_the_loop_goes_on_meanwhile() -> None:
    async def main(executor: Executor) -> None:
        begin = time.monotonic()
        await asyncio.gather(executor.run(functions.sleep, 0.3), asyncio.sleep(0.3), executor.run(functions.sleep, 0.3))
        assert time.monotonic() - begin < 0.6

    run(main)


def test_cancellation_stops_the_process(tmp_path: pathlib.Path) -> None:
    async def main(executor: Executor) -> None:
        task = asyncio.ensure_future(executor.run(functions.leave_pid, str(tmp_path / "pid"), 60))
        pid = await asyncio.to_thread(pid_in, tmp_path / "pid")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(wait_until, lambda: is_gone(pid), "the process ends")

    run(main)


def test_timeout_of_asyncio_stops_the_process(tmp_path: pathlib.Path) -> None:
    async def main(executor: Executor) -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(executor.run(functions.leave_pid, str(tmp_path / "pid"), 60), 0.5)
        pid = await asyncio.to_thread(pid_in, tmp_path / "pid")
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


def test_max_pending_bounds_run() -> None:
    async def main(executor: Executor) -> None:
        begin = time.monotonic()
        await asyncio.gather(*(executor.run(functions.sleep, 0.1) for _ in range(3)))
        assert time.monotonic() - begin > 0.3

    run(main, max_pending=1)


def test_shutdown_refuses() -> None:
    async def main(executor: Executor) -> None:
        await executor.shutdown()
        with pytest.raises(RuntimeError, match="after shutdown"):
            await executor.run(functions.noop)

    run(main)
