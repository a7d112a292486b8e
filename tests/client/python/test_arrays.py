"""Large buffers: where they lie, who may write to them, and when their memory is free again."""

from __future__ import annotations

import gc
import os
import pathlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy
import pytest

import functions
import prefork
from configured_daemon import ConfiguredDaemon
from conftest import Daemon, Program
from prefork import arrays
from prefork.connection import connect
from waiting import wait_until

MIB = 1 << 20


def segment_of(array: Any) -> str | None:
    """The inode of the segment in which the bytes lie, in any process; None: in private memory."""
    address = array.__array_interface__["data"][0]
    with open("/proc/self/maps") as maps:
        for line in maps:
            span, _, _, _, inode = line.split()[:5]
            begin, end = (int(each, 16) for each in span.split("-"))
            if begin <= address < end:
                return inode if "memfd:" in line else None
    return None


def look(array: Any) -> tuple[str | None, bool, float]:
    return segment_of(array), array.flags.writeable, float(array.sum())


def look_when(path: str, array: Any) -> tuple[str | None, bool, float]:
    functions.wait_for_file(path)
    return look(array)


def double(array: Any) -> Any:
    return array * 2


def double_in_place(array: Any) -> Any:
    array *= 2
    return array


def sum_of(*parts: Any) -> float:
    return float(sum(part.sum() for part in parts))


def ones(size: int) -> Any:
    return numpy.ones(size, numpy.uint8)


def read_then_die(array: Any) -> None:
    assert array.sum() > 0
    functions.die_by_signal(signal.SIGKILL)


@pytest.fixture
def executor(own_daemon: Daemon) -> Iterator[prefork.Executor]:
    """Of a daemon of the test's own, so that its memory can be counted. Results are forgotten at once."""
    with prefork.Executor(2, address=own_daemon.address) as each:
        yield each.options(result_ttl=0)


def leased(executor: prefork.Executor) -> int:
    """Bytes of segments in use by anyone."""
    return int(executor._core.connection().call("GetStatus", {})["segment_bytes_leased"])


def wait_until_all_is_free(executor: prefork.Executor) -> None:
    gc.collect()
    wait_until(lambda: leased(executor) == 0, "all segments are given back")


# Arguments and results.


def test_an_argument_is_copied_once_and_a_result_not_at_all(executor: prefork.Executor) -> None:
    array = numpy.arange(MIB, dtype=numpy.float64)
    segment, writeable, total = executor.submit(look, array).result()
    assert (segment is not None, writeable, total) == (True, False, array.sum())
    result = executor.submit(double, array).result()
    assert segment_of(result) is not None and not result.flags.writeable
    assert (result == array * 2).all()


def test_an_array_may_be_changed_as_soon_as_it_is_submitted(executor: prefork.Executor, tmp_path: pathlib.Path) -> None:
    array = numpy.ones(MIB, numpy.uint8)
    future = executor.submit(look_when, str(tmp_path / "go"), array)
    array[:] = 2
    (tmp_path / "go").touch()
    assert future.result()[2] == MIB


@pytest.mark.parametrize("value", [b"x" * MIB, bytearray(b"y" * MIB), [b"z" * MIB, {"k": numpy.zeros(MIB)}]])
def test_other_large_values_arrive_as_what_they_are(executor: prefork.Executor, value: Any) -> None:
    result = executor.submit(functions.wait_for_file, "/", value).result()
    numpy.testing.assert_equal(result, value)
    assert type(result) is type(value)


def test_writable_copies_by_choice(executor: prefork.Executor) -> None:
    array = numpy.ones(MIB, numpy.int32)
    with pytest.raises(ValueError, match="read-only"):
        executor.submit(double_in_place, array).result()
    result = executor.options(writable=True).submit(double_in_place, array).result()
    result += 1
    assert (result == 3).all() and (array == 1).all()
    for each in executor.options(writable=True).map(double_in_place, [array, array]):
        each += 1
        assert (each == 3).all()


def test_many_in_flight(executor: prefork.Executor) -> None:
    parts = [numpy.full(100_000, number % 100, numpy.uint8) for number in range(300)]
    for number, result in enumerate(executor.map(double, parts)):
        assert result[0] == result[-1] == number % 100 * 2
    for chunksize in (1, 7):
        sums = list(executor.map(sum_of, parts, chunksize=chunksize))
        assert sums == [part.sum(dtype=float) for part in parts]
    del result
    wait_until_all_is_free(executor)


def test_results_that_are_kept_leave_memory_to_others(executor: prefork.Executor) -> None:
    kept = list(executor.map(ones, [100_000] * 1100))
    assert all(each.sum() == 100_000 for each in kept)
    assert {segment_of(each) is None for each in kept} == {True, False}, "over the budget they are copied"
    assert segment_of(prefork.array(MIB, address=executor._core._address)) is not None
    del kept
    wait_until_all_is_free(executor)


def test_a_result_lives_as_long_as_its_last_view(executor: prefork.Executor) -> None:
    view = executor.submit(ones, 4 * MIB).result()[MIB : 2 * MIB].reshape(1024, -1)
    gc.collect()
    assert leased(executor) > 0
    assert view.sum() == MIB
    del view
    wait_until_all_is_free(executor)


def test_from_many_threads(executor: prefork.Executor) -> None:
    wrong = []

    def work(number: int) -> None:
        for _ in range(20):
            result = executor.submit(double, numpy.full(100_000, number, numpy.uint8)).result()
            if not (result == number * 2).all():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    wait_until_all_is_free(executor)


# prefork.array


@pytest.fixture
def array(executor: prefork.Executor) -> Iterator[Any]:
    made = prefork.array((1024, 1024), numpy.int32, address=executor._core._address)
    made[:] = numpy.arange(made.size, dtype=numpy.int32).reshape(made.shape)
    return made


PARTS: dict[str, Callable[[Any], Any]] = {
    "all of it": lambda array: array,
    "rows": lambda array: array[100:612],
    "a reshaped part": lambda array: array.reshape(-1)[5:900_000].reshape(5, -1),
    "transposed": lambda array: array.T,
    "as bytes": lambda array: array.view(numpy.uint8),
    "read-only": lambda array: numpy.frombuffer(memoryview(array).toreadonly(), numpy.int32),
}


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS.keys())
def test_workers_see_the_very_array(executor: prefork.Executor, array: Any, part: Callable[[Any], Any]) -> None:
    here = part(array)
    assert executor.submit(look, here).result() == (segment_of(array), False, float(here.sum()))


def test_chunks_in_several_tasks_at_once(executor: prefork.Executor, array: Any) -> None:
    parts = numpy.split(array, 16)
    seen = list(executor.map(look, parts))
    assert {segment for segment, _, _ in seen} == {segment_of(array)}
    assert [total for _, _, total in seen] == [float(part.sum()) for part in parts]


def test_a_call_may_have_more_than_the_array(executor: prefork.Executor, array: Any) -> None:
    add = lambda part, more, text, other: (segment_of(part), sum_of(part, more, other), len(text))  # noqa: E731
    small = numpy.ones(20_000, numpy.int32)  # out of band, and fits into the room
    large = numpy.ones(MIB, numpy.int32)
    rows = array[:300]
    for other, by_reference in ((array[300:], True), (small, True), (large, False)):
        segment, total, length = executor.submit(add, rows, small, "text", other).result()
        assert (segment == segment_of(array)) == by_reference
        assert (total, length) == (sum_of(rows, small, other), 4)


def test_a_part_in_pieces_is_copied(executor: prefork.Executor, array: Any) -> None:
    here = array[:, ::2]
    segment, _, total = executor.submit(look, here).result()
    assert segment != segment_of(array) and total == float(here.sum())


def test_more_calls_than_there_is_room_for(executor: prefork.Executor, array: Any, tmp_path: pathlib.Path) -> None:
    block = executor.submit(functions.wait_for_file, str(tmp_path / "go"))
    futures = [executor.submit(look_when, str(tmp_path / "go"), array[row : row + 16]) for row in range(1000)]
    (tmp_path / "go").touch()
    block.result()
    seen = [future.result() for future in futures]
    assert [total for _, _, total in seen] == [float(array[row : row + 16].sum()) for row in range(1000)]
    segments = [segment for segment, _, _ in seen]
    assert segments[0] == segment_of(array) != segments[-1]
    assert executor.submit(look, array).result()[0] == segment_of(array), "there is room again"


def test_the_room() -> None:
    room = arrays._Room(1024)
    places = [room.take(100) for _ in range(9)]
    assert places == [0, 128, 256, 384, 512, 640, 768, 896, None]
    for place in (256, 0, 128):
        room.give_back(place, 100)
    assert room.take(384) == 0
    for place in (896, 0, 512, 640, 768):
        room.give_back(place, 384 if place == 0 else 100)
    assert room.take(513) is None and room.take(512) == 512
    room.give_back(384, 128)
    room.give_back(512, 512)
    assert room.take(1024) == 0


@pytest.mark.parametrize("shape, dtype", [(5, "i2"), ((3, 4), float), ((), "c16"), ((2, 0), "u1")])
def test_shapes_are_numpys(executor: prefork.Executor, shape: Any, dtype: str) -> None:
    made = prefork.array(shape, dtype, address=executor._core._address)
    same = numpy.empty(shape, dtype)
    assert (made.shape, made.dtype, made.flags.c_contiguous, made.flags.writeable) == (same.shape, same.dtype, True, True)


def test_a_bad_shape_is_named(executor: prefork.Executor) -> None:
    with pytest.raises(TypeError, match="Python objects"):
        prefork.array(3, object)
    with pytest.raises(ValueError, match="negative"):
        prefork.array((3, -1), address=executor._core._address)


def test_it_is_free_when_the_last_user_has_let_go(
    executor: prefork.Executor, array: Any, tmp_path: pathlib.Path
) -> None:
    made = prefork.array(MIB, address=executor._core._address)
    made[:] = 1
    future = executor.submit(look_when, str(tmp_path / "go"), made)
    del made
    (tmp_path / "go").touch()
    assert future.result()[2] == MIB
    del future
    before = leased(executor)
    assert before >= array.nbytes
    wait_until(lambda: gc.collect() >= 0 and leased(executor) <= array.nbytes * 5 // 4, "the other one is given back")


def test_it_reaches_workers_over_every_connection_to_the_daemon(own_daemon: Daemon) -> None:
    made = prefork.array(MIB, address=own_daemon.address)
    made[:] = 3
    with prefork.Executor(1, address=own_daemon.address, output=lambda stream, data: None) as other:
        assert other.submit(look, made).result() == (segment_of(made), False, 3.0 * MIB)


def test_another_daemon_gets_a_copy(executor: prefork.Executor, array: Any) -> None:
    with prefork.Executor(1) as other:
        segment, _, total = other.submit(look, array).result()
    assert segment != segment_of(array) and total == float(array.sum())


# When something ends.


def test_a_worker_that_dies_while_it_reads(executor: prefork.Executor, array: Any) -> None:
    total = float(array.sum())
    for _ in range(3):
        futures = [executor.submit(read_then_die, array), executor.submit(look, array[:512])]
        with pytest.raises(prefork.TaskCrashed):
            futures[0].result()
        futures[1].exception()  # it may have been behind the other
        assert executor.submit(look, array).result() == (segment_of(array), False, total)
        with pytest.raises(prefork.TaskCrashed):
            executor.submit(read_then_die, numpy.ones(MIB)).result()
    assert leased(executor) < 2 * array.nbytes


def test_a_daemon_that_ends_leaves_what_is_mapped(own_daemon: Daemon) -> None:
    made = prefork.array(MIB, numpy.uint8, address=own_daemon.address)
    made[:] = 1
    with prefork.Executor(1, address=own_daemon.address) as each:
        result = each.submit(double, made).result()
    own_daemon.kill()
    own_daemon.start()
    assert made.sum() * 2 == result.sum() == 2 * MIB
    with prefork.Executor(1, address=own_daemon.address) as each:
        connection = wait_until(lambda: _connection(each), "the new daemon is connected")
        assert connection.call("GetStatus", {})["segment_bytes_leased"] == "0"
        segment, _, total = each.submit(look, made).result()
        assert segment not in (None, segment_of(made)) and total == MIB, "the new daemon does not know it"


def _connection(executor: prefork.Executor) -> Any:
    try:
        executor.submit(functions.noop).result()
    except prefork.PreforkError:
        return None
    return executor._core.connection()


END = {
    "normally": "pass",
    "by _exit": "os._exit(0)",
    "by a signal": "os.kill(os.getpid(), 9)",
}


@pytest.mark.parametrize("end", END.values(), ids=END.keys())
def test_a_program_that_ends_with_leases(executor: prefork.Executor, run_program: Program, end: str) -> None:
    names_before = os.listdir("/dev/shm")
    ended = run_program(
        f"""
        import os, numpy, prefork, test_arrays
        executor = prefork.Executor(2, address={executor._core._address!r}).options(result_ttl=0)
        array = prefork.array(1 << 20, address={executor._core._address!r})
        array[:] = 1
        future = executor.submit(test_arrays.double, array)
        view = future.result()[5:]
        print(view.sum(), flush=True)
        {end}
        """
    )
    assert ended.stdout == f"{2.0 * (MIB - 5)}\n", ended.stderr
    assert ended.stderr == ""
    wait_until_all_is_free(executor)
    assert os.listdir("/dev/shm") == names_before


def test_a_forked_child_keeps_what_its_parent_gives_back(executor: prefork.Executor, run_program: Program) -> None:
    ended = run_program(
        f"""
        import gc, os, numpy, prefork, test_arrays
        address = {executor._core._address!r}
        executor = prefork.Executor(2, address=address).options(result_ttl=0)
        result = executor.submit(test_arrays.ones, 1 << 20).result()
        array = prefork.array(1 << 20, numpy.uint8, address=address)
        array[:] = 1
        begin, go = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(go)
            os.read(begin, 1)  # until the parent has overwritten what it could
            unchanged = result.sum() == array.sum() == 1 << 20
            found = executor.submit(test_arrays.look, array).result()
            del result, array
            gc.collect()
            os._exit(0 if unchanged and found[2] == 1 << 20 else 1)
        del result, array
        gc.collect()
        for number in range(2, 12):
            part = numpy.full(1 << 20, number, numpy.uint8)
            assert (executor.submit(test_arrays.double, part).result() == number * 2).all()
            prefork.array(1 << 20, numpy.uint8, address=address)[:] = number
        os.close(go)
        print(os.waitpid(child, 0)[1])
        """
    )
    assert ended.stdout == "0\n", ended.stderr
    wait_until_all_is_free(executor)


def test_a_fork_leaves_the_parents_array_where_it_is(executor: prefork.Executor, array: Any) -> None:
    assert executor.submit(look, array).result()[0] == segment_of(array)
    child = os.fork()
    if child == 0:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert executor.submit(look, array).result() == (segment_of(array), False, float(array.sum()))


# Without segments.


def test_without_a_segment_socket_everything_is_copied(own_daemon: Daemon) -> None:
    os.unlink(f"{own_daemon.socket}.segments")
    with prefork.Executor(2, address=own_daemon.address) as each:
        made = prefork.array(MIB, numpy.uint8, address=own_daemon.address)
        made[:] = 1
        assert segment_of(made) is None
        for argument in (made, numpy.ones(5 * MIB, numpy.uint8)):
            result = each.submit(double, argument).result()
            assert segment_of(result) is None and (result == 2).all()
            assert each.submit(look, argument).result()[2] == argument.size


# Full memory.


@pytest.fixture
def small_daemon(tmp_path: pathlib.Path) -> Iterator[ConfiguredDaemon]:
    """Has 8 MiB for everything."""
    limits = {"segments": 8, "warm_segments": 4, "client_segment_bytes": 4, "clients_segment_bytes": 4}
    lines = "".join(f'{name} = "{mib}MiB"\n' for name, mib in limits.items())
    daemon = ConfiguredDaemon(tmp_path, f"[limits]\n{lines}")
    yield daemon
    daemon.stop()


def test_full_memory_is_a_memory_error(small_daemon: ConfiguredDaemon) -> None:
    address = f"unix:{small_daemon.folder}/d.sock"
    with pytest.raises(MemoryError, match="limits.client_segment_bytes"):
        prefork.array(5 * MIB, numpy.uint8, address=address)
    kept = prefork.array(3 * MIB, numpy.uint8, address=address)
    kept[:] = 1
    with pytest.raises(MemoryError, match="client_segment_bytes"):
        prefork.array(3 * MIB, numpy.uint8, address=address)
    with prefork.Executor(1, address=address) as each:
        with pytest.raises(MemoryError, match="no room for a segment of"):
            each.submit(ones, 20 * MIB).result()
        with pytest.raises(prefork.MemoryFull, match="no room for a segment of"):
            each.submit(sum_of, numpy.ones(20 * MIB, numpy.uint8)).result()
        with pytest.raises(prefork.MemoryFull, match="no room for a segment of"):
            list(each.map(sum_of, [numpy.ones(2 * MIB, numpy.uint8), numpy.ones(20 * MIB, numpy.uint8)]))
        assert each.submit(sum_of, kept).result() == 3.0 * MIB, "the next one is not affected"
        assert (each.submit(double, numpy.ones(MIB, numpy.uint8)).result() == 2).all()
