"""Python pools of a real daemon, called by the command line tool with JSON: no Python client takes part."""

from __future__ import annotations

import os
import pathlib
import signal
import tempfile
from collections.abc import Iterator

import numpy
import pytest
from configured_daemon import ConfiguredDaemon

from prefork import codec
from waiting import wait_until

FUNCTIONS = """
import ctypes, os, signal, sys, threading, time
import prefork
from prefork import task
from waiting import wait_until

def square(x): return x * x
def say(text): print(text); print("to stderr", file=sys.stderr); return None
def say_unflushed(text): sys.stdout.write(text)
def who(): return [task.id, task.attempt, prefork.worker.index, task.cancelled]
def pid(): return os.getpid()
def work():
    task.progress(1, 2, "half")
    task.emit({"part": 1})
    return "done"
def close_one(): os.close(1); os.close(2); return os.open("/dev/null", os.O_WRONLY)
def fork_and_return():
    if os.fork() == 0: return "child"
    return os.waitstatus_to_exitcode(os.wait()[1])
def progress_in_child():
    if os.fork() == 0:
        task.progress(1, 1); task.emit(1)
        os._exit(7 if task.id == 0 else 1)
    return os.waitstatus_to_exitcode(os.wait()[1])
def thread_goes_on():
    ticks = []
    def tick():
        while True:
            ticks.append(1); time.sleep(0.001)
    threading.Thread(target=tick, daemon=True).start()
    thread_goes_on.ticks = ticks
    return len(ticks)
def ticks(): return len(thread_goes_on.ticks)
def wait_for_gate():
    open("waits", "w").close()
    wait_until(lambda: os.path.exists("gate"), "the gate is there")
    return "waited"
def sleep(seconds): time.sleep(seconds)
def in_c(seconds): ctypes.PyDLL(None).sleep(seconds)  # holds the interpreter's lock
def exit(code): sys.exit(code)
def fail(): raise ValueError("no")
def loaded(name): return name in sys.modules
def use(name): __import__(name); return True
kept = []
def keep(array): kept.append(array); return int(array.sum())
def kept_sum(): return [int(array.sum()) for array in kept]
def signals(): return [signal.getsignal(signal.SIGINT) == signal.SIG_IGN, signal.getsignal(signal.SIGTERM) == signal.SIG_DFL]
"""

POOL = '[pool.py]\nruntime = "python"\nsize = 1\ncwd = "{folder}"\n'


@pytest.fixture(scope="module")
def daemon() -> Iterator[ConfiguredDaemon]:
    """A pool ``py`` with one worker."""
    with tempfile.TemporaryDirectory(prefix="py.") as name:
        folder = pathlib.Path(name)
        (folder / "functions.py").write_text(FUNCTIONS)
        running = ConfiguredDaemon(folder, POOL.format(folder=folder))
        yield running
        running.stop()


def test_a_function_is_called_by_name(daemon: ConfiguredDaemon) -> None:
    assert daemon.call("functions:square", 12) == 144
    assert daemon.call("os.path:join", "a", "b") == "a/b"


def test_a_task_knows_itself(daemon: ConfiguredDaemon) -> None:
    number, attempt, index, cancelled = daemon.call("functions:who")
    assert number > 0 and (attempt, index, cancelled) == (1, 0, False)


def test_output_is_the_tasks(daemon: ConfiguredDaemon) -> None:
    submitted = daemon.cli("-q", "call", "-p", "py", "functions:say", "--json", '["hello"]')
    assert submitted.returncode == 0
    task = daemon.cli("-q", "list", "-n", "1").stdout.decode().split()[0]
    logs = daemon.cli("logs", task)
    assert (logs.stdout, logs.stderr) == (b"hello\n", b"to stderr\n")
    daemon.call("functions:say_unflushed", "no newline")
    task = daemon.cli("-q", "list", "-n", "1").stdout.decode().split()[0]
    assert daemon.cli("logs", task).stdout == b"no newline"


def test_an_error_is_told_with_its_traceback(daemon: ConfiguredDaemon) -> None:
    text = daemon.error("functions:fail")
    assert "failed: ValueError: no\n" in text
    assert 'functions.py", line ' in text and "in fail" in text and "runner.py" not in text


def test_a_task_that_closes_its_streams_does_so_for_itself(daemon: ConfiguredDaemon) -> None:
    assert daemon.call("functions:close_one") == 1
    before = daemon.call("functions:pid")
    daemon.call("functions:say", "here again")
    task = daemon.cli("-q", "list", "-n", "1").stdout.decode().split()[0]
    assert daemon.cli("logs", task).stdout == b"here again\n"
    assert daemon.call("functions:pid") == before


def test_a_forked_child_is_no_worker(daemon: ConfiguredDaemon) -> None:
    assert daemon.call("functions:fork_and_return") == 0
    assert daemon.call("functions:progress_in_child") == 7
    assert daemon.call("functions:square", 3) == 9


def test_threads_of_a_task_go_on_between_tasks(daemon: ConfiguredDaemon) -> None:
    begun = daemon.call("functions:thread_goes_on")
    wait_until(lambda: daemon.call("functions:ticks") > begun + 10, "the thread runs")


def test_what_can_be_called_is_explained(daemon: ConfiguredDaemon) -> None:
    listed = daemon.cli("functions", "py")
    assert listed.returncode == 0
    assert "MODULE:FUNCTION" in listed.stderr.decode() and "math:sqrt" in listed.stderr.decode()
    assert daemon.call("math:sqrt", 4) == 2.0
    assert daemon.cli("--json", "functions", "py").stderr == b""


def test_interrupts_are_for_the_client_alone(daemon: ConfiguredDaemon) -> None:
    assert daemon.call("functions:signals") == [True, True]
    call = daemon.start_cli("call", "-p", "py", "functions:wait_for_gate", "--json", "[]")
    wait_until((daemon.folder / "waits").exists, "the task waits")
    os.kill(int(daemon.cli("--json", "workers").stdout.split(b'"pid":')[1].split(b",")[0]), signal.SIGINT)
    (daemon.folder / "gate").touch()
    assert call.communicate()[0] == b'"waited"'


@pytest.mark.parametrize("function", ["sleep", "in_c"])
def test_a_timeout_ends_a_task_at_once(daemon: ConfiguredDaemon, function: str) -> None:
    text = daemon.error(f"functions:{function}", 1000, options=("--task-timeout", "100ms"))
    assert "timed_out" in text
    assert daemon.call("functions:square", 2) == 4


def test_exit_codes_of_dedicated_processes(daemon: ConfiguredDaemon) -> None:
    for code, expected in ((3, 3), (0, 0), (None, 0)):
        assert daemon.run("functions:exit", code, options=("--dedicated",)).returncode == expected
    failed = daemon.run("functions:fail", options=("--dedicated",))
    assert failed.returncode == 1
    assert b"ValueError: no" in failed.stderr
    assert "SystemExit: 3" in daemon.error("functions:exit", 3), "a worker of the pool is not ended by it"


def test_what_a_task_keeps_of_its_argument_stays_as_it_was(daemon: ConfiguredDaemon) -> None:
    sums = []
    for number in range(3):
        array = numpy.full(200_000, number + 1)
        encoded = codec.dumps(((array,), {}))
        payload = daemon.folder / "payload"
        payload.write_bytes(b"".join(encoded.parts))
        ended = daemon.cli(
            "call", "-p", "py", "functions:keep", "--file", str(payload), "--content-type", encoded.content_type
        )
        assert ended.returncode == 0, ended.stderr
        sums.append(200_000 * (number + 1))
        assert codec.loads(memoryview(ended.stdout), codec.PICKLE) == sums[-1]
    assert daemon.call("functions:kept_sum") == sums


def test_new_code_is_used_at_once(daemon: ConfiguredDaemon) -> None:
    for number in range(5):
        daemon.write_module("changing", f"import deeper\ndef value(): return [{number}, deeper.value]\n")
        daemon.write_module("deeper", f"value = {number}\n")
        assert daemon.call("changing:value") == [number, number]
    daemon.write_module("deeper", "value = 9\n")
    assert daemon.call("changing:value") == [4, 9], "a module that it imports has changed"
    daemon.write_module("deeper", "value = \n")
    assert "SyntaxError" in daemon.error("changing:value")
    daemon.write_module("deeper", "value = 10\n")
    assert daemon.call("changing:value") == [4, 10]


def test_imports_of_tasks_are_shared_by_later_workers(daemon: ConfiguredDaemon) -> None:
    assert daemon.call("functions:loaded", "colorsys") is False
    daemon.call("functions:use", "colorsys")

    def new_worker_has_it() -> bool:
        os.kill(daemon.call("functions:pid"), signal.SIGKILL)
        return bool(daemon.call("functions:loaded", "colorsys"))

    wait_until(new_worker_has_it, "the zygote has learnt it")
