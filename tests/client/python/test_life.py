"""The life of a program that uses prefork: import, fork, signals, the end; and the daemon's death."""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator

import pytest

import functions
import prefork
from conftest import DAEMON, Daemon, Program
from waiting import wait_until

HERE = os.path.dirname(__file__)
PACKAGE = os.path.dirname(os.path.dirname(prefork.__file__))


def test_import_loads_and_starts_nothing(run_program: Program) -> None:
    ended = run_program(
        """
        import sys, os
        import prefork
        assert "prefork._client" not in sys.modules and "cloudpickle" not in sys.modules
        prefork.Executor, prefork.TaskCrashed
        executor = prefork.Executor(2)
        print(len(os.listdir("/proc/self/task")))
        """
    )
    assert (ended.stdout, ended.stderr) == ("1\n", "")


def test_every_public_name_exists() -> None:
    for name in prefork.__all__:
        assert getattr(prefork, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Exekutor'"):
        prefork.Exekutor


def test_the_end_waits_for_pending_futures(run_program: Program) -> None:
    ended = run_program(
        """
        import atexit, pathlib, functions, prefork
        late = prefork.Executor(2).submit(functions.wait_for_file, pathlib.Path("gate").absolute(), "late")
        late.add_done_callback(lambda future: print(future.result()))
        atexit.register(lambda: pathlib.Path("gate").touch())  # the end has begun, and the task runs
        print("end", flush=True)
        """
    )
    assert (ended.stdout, ended.stderr, ended.returncode) == ("end\nlate\n", "", 0)


def test_the_end_without_results_taken(run_program: Program) -> None:
    ended = run_program(
        """
        import prefork
        executor = prefork.Executor(2)
        results = executor.map(abs, range(1000))
        future = executor.submit(abs, -1)
        """
    )
    assert (ended.stdout, ended.stderr, ended.returncode) == ("", "", 0)


def test_the_end_while_other_threads_make_calls(run_program: Program) -> None:
    for _ in range(5):  # at the wrong moment only
        ended = run_program(
            """
            import threading, prefork
            from prefork.connection import connect
            with prefork.Executor(1) as executor:
                executor.submit(abs, -1).result()
            connection = connect()

            def ask():
                while True:
                    try:
                        connection.call("GetStatus", {})
                    except prefork.PreforkError:
                        pass

            for _ in range(4):
                threading.Thread(target=ask, daemon=True).start()
            """
        )
        assert (ended.stdout, ended.stderr, ended.returncode) == ("", "", 0)


def test_an_exception_ends_the_program(run_program: Program) -> None:
    ended = run_program(
        """
        import prefork
        with prefork.Executor(2) as executor:
            executor.submit(abs, -1)
            raise SystemExit(5)
        """
    )
    assert (ended.stdout, ended.stderr, ended.returncode) == ("", "", 5)


def test_main_without_a_guard(run_program: Program) -> None:
    ended = run_program(
        """
        import prefork
        factor = 3
        def times(x):
            return x * factor
        with prefork.Executor(2) as executor:
            print(list(executor.map(times, range(4))))
        """
    )
    assert (ended.stdout, ended.stderr) == ("[0, 3, 6, 9]\n", "")


@pytest.mark.parametrize("wait", ["executor.submit(time.sleep, 60).result()", "next(executor.map(time.sleep, [60]))"])
def test_one_ctrl_c_ends_it(wait: str, tmp_path: pathlib.Path) -> None:
    text = f"""
import time, prefork
executor = prefork.Executor(2)
executor.submit(abs, -1).result()
print("waiting", flush=True)
try:
    {wait}
finally:
    executor.cancel_all()
"""
    program = subprocess.Popen(
        [sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert program.stdout is not None and program.stdout.readline() == "waiting\n"
    os.killpg(program.pid, signal.SIGINT)
    _, stderr = program.communicate(timeout=30)
    assert program.returncode == -signal.SIGINT
    assert stderr.rstrip().endswith("KeyboardInterrupt")


FORK = """
import os, pathlib, sys, functions, prefork
def pid_of(executor):
    return executor.submit(abs, -4).result(30)
executor = prefork.Executor(2)
assert pid_of(executor) == 4
"""


def test_fork_of_an_idle_program(run_program: Program) -> None:
    ended = run_program(
        FORK
        + textwrap.dedent(
            """
            for _ in range(3):
                child = os.fork()
                if child == 0:
                    os.write(1, b"child %d\\n" % pid_of(executor))
                    sys.exit(3)
                os.write(1, b"parent %d\\n" % pid_of(executor))
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
            """
        )
    )
    assert ended.stderr == ""
    assert sorted(ended.stdout.split("\n")) == sorted(["", *["child 4"] * 3, *["parent 4"] * 3])


def test_fork_while_another_thread_calls_the_daemon(run_program: Program) -> None:
    ended = run_program(
        FORK
        + textwrap.dedent(
            """
            import threading
            called = threading.Event()
            def ask():
                connection = executor._core.connection()
                try:
                    while True:
                        connection.call("GetStatus", {})
                        called.set()
                except prefork.PreforkError:
                    pass  # it was closed for the fork
            for _ in range(5):
                called.clear()
                thread = threading.Thread(target=ask)
                thread.start()
                called.wait()
                child = os.fork()
                if child == 0:
                    os.write(1, b"child %d\\n" % pid_of(executor))
                    os._exit(3)
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
                thread.join()
                assert pid_of(executor) == 4
            """
        )
    )
    assert (ended.stdout, ended.stderr) == ("child 4\n" * 5, "")


def test_fork_of_a_busy_program(run_program: Program) -> None:
    ended = run_program(
        FORK
        + textwrap.dedent(
            """
            gate = pathlib.Path("gate").absolute()
            busy = executor.submit(functions.wait_for_file, gate)
            child = os.fork()
            if child == 0:
                for use in (lambda: pid_of(executor), lambda: pid_of(prefork.Executor(1)), busy.result):
                    try:
                        use()
                    except RuntimeError as error:
                        print(str(error)[:26], "Cure" in str(error), flush=True)
                sys.exit(3)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
            gate.touch()
            print("parent", busy.result(30), pid_of(executor))
            """
        )
    )
    assert ended.stderr == ""
    assert ended.stdout == "this process was forked wh True\n" * 3 + "parent None 4\n"


def test_standard_multiprocessing_by_fork(run_program: Program) -> None:
    ended = run_program(
        FORK
        + textwrap.dedent(
            """
            import multiprocessing
            process = multiprocessing.get_context("fork").Process(target=lambda: print(f"{pid_of(executor)}", flush=True))
            process.start()
            process.join(30)
            print(process.exitcode, pid_of(executor))
            """
        )
    )
    assert (ended.stdout, ended.stderr) == ("4\n0 4\n", "")


def test_no_daemon_is_a_clear_error() -> None:
    with pytest.raises(prefork.DaemonUnavailable, match="/nowhere/at.sock does not exist"):
        prefork.Executor(address="unix:/nowhere/at.sock").submit(functions.noop)
    with pytest.raises(ConnectionError):
        prefork.Executor(address="unix:/nowhere/at.sock").map(functions.noop)


def test_bad_address_is_a_clear_error() -> None:
    with pytest.raises(prefork.RequestRejected, match="unix:/path/to/prefork.sock"):
        prefork.Executor(address="nonsense").submit(functions.noop)


def test_a_pool_of_the_daemon_that_does_not_exist() -> None:
    with prefork.Executor(pool="missing") as executor:
        with pytest.raises(prefork.RequestRejected, match='"missing"'):
            executor.submit(functions.noop).result(20)
        with pytest.raises(prefork.RequestRejected, match='"missing"'):
            next(executor.map(functions.square, [1]))
    with pytest.raises(ValueError, match="leave out max_workers"):
        prefork.Executor(2, pool="missing")


def test_a_deleted_pool_is_made_again() -> None:
    from prefork.connection import connect

    with prefork.Executor(1, preload=["colorsys"]) as executor:
        assert executor.submit(functions.square, 2).result(20) == 4
        connect().call("DeletePool", {"name": executor._core.pool_name, "force": True})
        assert executor.submit(functions.square, 3).result(20) == 9
        connect().call("DeletePool", {"name": executor._core.pool_name, "force": True})
        assert list(executor.map(functions.square, range(4))) == [0, 1, 4, 9]


def test_the_daemon_dies_and_comes_back(own_daemon: Daemon) -> None:
    with prefork.Executor(1, address=own_daemon.address) as executor:
        assert executor.submit(functions.square, 2).result(20) == 4
        running = executor.submit(functions.hang)
        running.task_id
        own_daemon.kill()
        with pytest.raises(prefork.TaskLost, match="Why did my task run twice"):
            running.result(60)
        with pytest.raises(prefork.DaemonUnavailable):
            executor.submit(functions.square, 3)
        own_daemon.start()
        assert executor.submit(functions.square, 3).result(60) == 9
        assert list(executor.map(functions.square, range(4))) == [0, 1, 4, 9]


@pytest.fixture
def stranger() -> Iterator[pathlib.Path]:
    """A home for a user who has no daemon: root's own would be the system's."""
    with tempfile.TemporaryDirectory(prefix="py.", dir="/tmp") as folder:
        home = pathlib.Path(folder)
        home.chmod(0o755)
        (home / "run").mkdir()
        if os.geteuid() == 0:
            os.chown(home, 65534, 65534)
            os.chown(home / "run", 65534, 65534)
        yield home


def test_a_private_daemon_is_started_and_shared(stranger: pathlib.Path) -> None:
    closed = [str(folder) for folder in pathlib.Path(sys.executable).absolute().parents if not folder.stat().st_mode & stat.S_IXOTH]
    if os.geteuid() == 0 and closed:
        pytest.skip(f"{closed[0]} is closed to the user that the program becomes")
    environment = {name: value for name, value in os.environ.items() if name != "PREFORK_ADDRESS"}
    environment.update(HOME=str(stranger), XDG_RUNTIME_DIR=str(stranger / "run"), TMPDIR=str(stranger))
    environment.pop("XDG_STATE_HOME", None)
    text = "import prefork\nwith prefork.Executor(1) as e: print(e.submit(pow, 2, 5).result(30), e._core.connection().call('GetStatus', {})['pid'])"
    user = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}

    def run() -> list[str]:
        ended = subprocess.run(  # type: ignore[call-overload]
            [sys.executable, "-c", text], env=environment, cwd="/", capture_output=True, text=True, timeout=60, **user
        )
        assert ended.stderr == ""
        return str(ended.stdout).split()

    first, second = run(), run()
    os.kill(int(first[1]), signal.SIGTERM)
    assert first[0] == "32"
    assert first == second
    wait_until(lambda: not os.path.exists(f"/proc/{first[1]}"), "the daemon ends")


def test_daemon_beside_the_interpreter_is_found(stranger: pathlib.Path) -> None:
    """As pip installs it: in the bin of a virtual environment, which is not in PATH."""
    found = shutil.which(DAEMON)
    assert found is not None
    (stranger / "bin").mkdir()
    os.symlink(sys.executable, stranger / "bin" / "python")
    os.symlink(found, stranger / "bin" / "preforkd")
    text = textwrap.dedent(
        """
        import sys
        from prefork import _client, connection
        sys.executable = sys.argv[1]
        seen = []
        class Native:
            def __init__(self, *arguments): seen.append(arguments); raise SystemExit(print(arguments[2]))
        _client.Connection = Native
        connection.connect()
        """
    )
    ended = subprocess.run(
        [sys.executable, "-c", text, str(stranger / "bin" / "python")], capture_output=True, text=True, timeout=60
    )
    assert ended.stdout == f"{stranger / 'bin'}\n", ended.stderr


def test_killing_workers_at_any_time_breaks_nothing() -> None:
    """Kills workers as they come; every future ends, as a value or as a crash, and the executor goes on."""
    ends = {"values": 0, "crashes": 0}
    with prefork.Executor(2) as executor:

        def a_round() -> bool:
            futures = [executor.submit(functions.pid_after_work) for _ in range(40)]
            results = executor.map(functions.pid_after_work, range(40))
            for worker in executor._core.connection().call("ListWorkers", {"pool": executor._core.pool_name})["workers"]:
                if worker["pid"] > 0:
                    try:
                        os.kill(worker["pid"], signal.SIGKILL)
                    except ProcessLookupError:
                        pass
            for future in futures:
                error = future.exception(60)
                assert error is None or isinstance(error, prefork.TaskCrashed)
                ends["values" if error is None else "crashes"] += 1
            try:
                assert len(list(results)) == 40
            except prefork.TaskCrashed:
                pass
            return min(ends.values()) >= 50

        wait_until(a_round, "enough tasks have ended one way and the other", 100)
        assert executor.submit(functions.square, 3).result(60) == 9
