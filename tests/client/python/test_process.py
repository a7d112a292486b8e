"""prefork.multiprocessing.Process does what the standard documentation says of Process."""

from __future__ import annotations

import multiprocessing as standard
from multiprocessing.connection import wait as wait_for_sentinels
import os
import pathlib
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import functions
from conftest import Program
from prefork import multiprocessing
from prefork.multiprocessing import Process
from waiting import wait_until


def tell(path: str, what: str) -> None:
    """Writes something about the process that it runs in."""
    process = multiprocessing.current_process()
    parent = multiprocessing.parent_process()
    assert parent is not None
    values = {
        "name": process.name,
        "pid": f"{process.pid} {os.getpid()} {process.ident}",
        "parent": f"{parent.name} {parent.pid} {parent.is_alive()}",
        "daemon": str(process.daemon),
        "alive": str(process.is_alive()),
        "child name": Process(target=tell).name,
    }
    pathlib.Path(path).write_text(values[what])


class Doubling(Process):
    def __init__(self, path: str, number: int) -> None:
        super().__init__()
        self.path = path
        self.number = number

    def run(self) -> None:
        pathlib.Path(self.path).write_text(str(2 * self.number))


def ended(target: Callable[..., object], *args: Any) -> Process:
    process = Process(target=target, args=args)
    process.start()
    process.join(60)
    return process


def test_exit_codes() -> None:
    assert ended(functions.noop).exitcode == 0
    assert ended(functions.exit_with, None).exitcode == 0
    assert ended(functions.exit_with, 7).exitcode == 7
    assert ended(functions.die_with_code, 9).exitcode == 9
    assert ended(functions.die_by_signal, signal.SIGSEGV).exitcode == -signal.SIGSEGV


def test_exit_with_a_text(capfd: pytest.CaptureFixture[str]) -> None:
    assert ended(functions.exit_with, "last words").exitcode == 1
    assert capfd.readouterr().err == "last words\n"


def test_uncaught_exception(capfd: pytest.CaptureFixture[str]) -> None:
    process = ended(functions.fail, "text")
    assert process.exitcode == 1
    lines = capfd.readouterr().err.splitlines()
    assert lines[0] == f"Process {process.name}:"
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[-1] == "ValueError: ('text', 3)"


def test_life_of_a_process(tmp_path: pathlib.Path) -> None:
    process = Process(target=functions.wait_for_file, args=(tmp_path / "gate",))
    assert (process.pid, process.ident, process.exitcode, process.is_alive()) == (None, None, None, False)
    assert "initial" in repr(process)
    process.start()
    assert process.is_alive() and process.exitcode is None and "started" in repr(process)
    assert process in multiprocessing.active_children()
    assert process.pid == process.ident and process.pid != os.getpid()
    assert process.join(0.01) is None  # type: ignore[func-returns-value]
    assert process.is_alive()
    (tmp_path / "gate").touch()
    process.join()
    assert not process.is_alive() and process.exitcode == 0 and "stopped exitcode=0" in repr(process)
    assert process not in multiprocessing.active_children()


def test_pid_is_the_process(tmp_path: pathlib.Path) -> None:
    process = Process(target=tell, args=(str(tmp_path / "said"), "pid"))
    process.start()
    pid = process.pid
    process.join()
    assert (tmp_path / "said").read_text() == f"{pid} {pid} {pid}"


@pytest.mark.parametrize(
    ("what", "said"),
    [("name", "Chosen"), ("parent", f"MainProcess {os.getpid()} True"), ("daemon", "True"), ("alive", "True")],
)
def test_what_the_child_sees(tmp_path: pathlib.Path, what: str, said: str) -> None:
    process = Process(target=tell, name="Chosen", args=(str(tmp_path / "said"), what), daemon=True)
    process.start()
    process.join()
    assert (tmp_path / "said").read_text() == said


def test_names_count_and_nest(tmp_path: pathlib.Path) -> None:
    process = Process(target=tell, args=(str(tmp_path / "said"), "child name"))
    number = process.name.removeprefix("Process-")
    assert number.isdigit()
    process.start()
    process.join()
    assert (tmp_path / "said").read_text() == f"Process-{number}:1"


def test_subclass_with_run(tmp_path: pathlib.Path) -> None:
    process = Doubling(str(tmp_path / "said"), 21)
    process.start()
    process.join()
    assert process.exitcode == 0
    assert (tmp_path / "said").read_text() == "42"


def test_named_arguments_and_lambdas(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "said"
    process = Process(target=lambda text: path.write_text(text), kwargs={"text": "by name"})
    process.start()
    process.join()
    assert path.read_text() == "by name"


@pytest.mark.parametrize(("method", "number"), [("terminate", signal.SIGTERM), ("kill", signal.SIGKILL)])
def test_terminate_and_kill(method: str, number: int) -> None:
    process = Process(target=functions.hang)
    process.start()
    getattr(process, method)()
    process.join(20)
    assert process.exitcode == -number
    assert "stopped exitcode=-SIG" in repr(process)
    getattr(process, method)()


def test_sentinel() -> None:
    process = Process(target=functions.hang)
    with pytest.raises(ValueError, match="process not started"):
        process.sentinel
    process.start()
    assert select.select([process.sentinel], [], [], 0)[0] == []
    process.kill()
    assert select.select([process.sentinel], [], [], 20)[0] == [process.sentinel]
    assert wait_for_sentinels([process.sentinel], 20) == [process.sentinel]
    process.join()


def test_close() -> None:
    process = Process(target=functions.hang)
    process.start()
    with pytest.raises(ValueError, match="while it is still running"):
        process.close()
    process.kill()
    process.join()
    process.close()
    process.close()
    for use in (process.join, process.is_alive, process.start, process.terminate, lambda: process.exitcode):
        with pytest.raises(ValueError, match="process object is closed"):
            use()
    assert "closed" in repr(process)


def test_rules_of_signs() -> None:
    process = Process(target=functions.noop)
    with pytest.raises(AssertionError, match="can only join a started process"):
        process.join()
    with pytest.raises(AssertionError, match="group"):
        Process(3)  # type: ignore[arg-type]
    process.start()
    with pytest.raises(AssertionError, match="cannot start a process twice"):
        process.start()
    with pytest.raises(AssertionError, match="process has already started"):
        process.daemon = True
    process.join(-5)
    process.join()
    with pytest.raises(AssertionError, match="name must be a string"):
        process.name = 3  # type: ignore[assignment]


def test_unpicklable_target_is_told_at_start() -> None:
    import threading

    process = Process(target=functions.square, args=(threading.Lock(),))
    with pytest.raises(TypeError, match="pickle"):
        process.start()


def test_output_appears_here(capfd: pytest.CaptureFixture[str]) -> None:
    ended(functions.speak, "hello")
    assert capfd.readouterr() == ("hello\n", "error: hello\n")


def daemonic_parent() -> None:
    Process(target=functions.noop).start()


def test_daemonic_processes_have_no_children(capfd: pytest.CaptureFixture[str]) -> None:
    process = Process(target=daemonic_parent, daemon=True)
    process.start()
    process.join()
    assert process.exitcode == 1
    assert "daemonic processes are not allowed to have children" in capfd.readouterr().err


def parent_of_one() -> None:
    ended(functions.speak, "grandchild")


def test_a_process_may_start_processes(capfd: pytest.CaptureFixture[str]) -> None:
    assert ended(parent_of_one).exitcode == 0
    assert capfd.readouterr().out == "grandchild\n"


def test_the_end_waits_for_processes_and_terminates_daemonic_ones(run_program: Program) -> None:
    ended = run_program(
        """
        import atexit, pathlib, functions
        from prefork.multiprocessing import Process

        gate = pathlib.Path("gate").absolute()

        def late():
            functions.wait_for_file(gate)
            print("late", flush=True)

        def never():
            functions.hang()
            print("never")

        Process(target=never, daemon=True).start()
        Process(target=late).start()
        atexit.register(gate.touch)  # the end has begun, and both run
        print("end", flush=True)
        """
    )
    assert (ended.stdout, ended.stderr, ended.returncode) == ("end\nlate\n", "", 0)


def test_main_process() -> None:
    process = multiprocessing.current_process()
    assert (process.name, process.pid, process.daemon, process.exitcode) == ("MainProcess", os.getpid(), False, None)
    assert multiprocessing.parent_process() is None
    assert process.is_alive()


def test_names_to_come_say_so() -> None:
    with pytest.raises(ImportError, match="prefork.multiprocessing.Queue is not available yet"):
        from prefork.multiprocessing import Queue  # noqa: F401
    with pytest.raises(AttributeError, match="no attribute 'Quue'"):
        multiprocessing.Quue


def test_contexts() -> None:
    context = multiprocessing.get_context("spawn")
    assert context.get_start_method() == "spawn"
    process = context.Process(target=functions.noop)
    process.start()
    process.join()
    assert process.exitcode == 0
    with pytest.raises(ValueError, match="cannot find context for 'thread'"):
        multiprocessing.get_context("thread")
    assert set(multiprocessing.get_all_start_methods()) == set(standard.get_all_start_methods())
    assert multiprocessing.get_start_method(allow_none=True) is None
    assert multiprocessing.get_start_method() in multiprocessing.get_all_start_methods()


def test_start_method_is_set_once(run_program: Program) -> None:
    ended = run_program(
        """
        from prefork import multiprocessing
        multiprocessing.set_start_method("spawn")
        assert multiprocessing.get_start_method() == "spawn"
        try:
            multiprocessing.set_start_method("fork")
        except RuntimeError as error:
            print(error)
        multiprocessing.set_start_method("fork", force=True)
        """
    )
    assert (ended.stdout, ended.stderr) == ("context has already been set\n", "")


def test_cpu_count_follows_affinity() -> None:
    text = "from prefork import multiprocessing; print(multiprocessing.cpu_count())"
    cpu = min(os.sched_getaffinity(0))
    ended = subprocess.run(["taskset", "-c", str(cpu), sys.executable, "-c", text], capture_output=True, text=True)
    assert ended.stdout == "1\n"
    assert 1 <= multiprocessing.cpu_count() <= len(os.sched_getaffinity(0))


def test_parent_that_dies_takes_its_processes_along(tmp_path: pathlib.Path) -> None:
    text = f"""
import functions
from prefork.multiprocessing import Process
Process(target=functions.leave_pid, args=({str(tmp_path / "pid")!r},)).start()
"""
    parent = subprocess.Popen([sys.executable, "-c", text], cwd=os.path.dirname(__file__))
    wait_until((tmp_path / "pid").exists, "the process runs", 60)
    pid = int((tmp_path / "pid").read_text())
    parent.kill()
    parent.wait()
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), "the process ends")
