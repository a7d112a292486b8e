"""Python workers that die, and pools that can't start. At most the running task is lost, and everything says why."""

from __future__ import annotations

import base64
import json
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator

import cloudpickle
import pytest
from configured_daemon import ConfiguredDaemon
from waiting import wait_until

FUNCTIONS = """
import ctypes, os, resource, signal, time

def square(x): return x * x
def exit_hard(): os._exit(3)
def segfault(): ctypes.string_at(0)
def kill_self(): os.kill(os.getpid(), signal.SIGKILL)
def eat():
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), resource.RLIM_INFINITY))
    try:
        return len(bytearray(1 << 30))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
def maybe_die(number):
    if number % 5 == 0: os.kill(os.getpid(), signal.SIGKILL)
    return number
def pid(): return os.getpid()
"""

MakeDaemon = Callable[[str], ConfiguredDaemon]


@pytest.fixture
def make_daemon() -> Iterator[MakeDaemon]:
    """Starts a daemon with a pool ``py`` of the given keys."""
    running: list[ConfiguredDaemon] = []
    with tempfile.TemporaryDirectory(prefix="py.") as name:
        folder = pathlib.Path(name)
        (folder / "functions.py").write_text(FUNCTIONS)

        def make(keys: str) -> ConfiguredDaemon:
            pool = f'[pool.py]\nruntime = "python"\ncwd = "{folder}"\n'
            running.append(ConfiguredDaemon(folder, pool + keys))
            return running[-1]

        yield make
        for daemon in running:
            daemon.stop()


@pytest.mark.parametrize(
    "function, why",
    [("exit_hard", "exited with code 3"), ("segfault", "SIGSEGV"), ("kill_self", "SIGKILL")],
)
def test_a_death_costs_one_task(make_daemon: MakeDaemon, function: str, why: str) -> None:
    daemon = make_daemon("size = 1\n")
    text = daemon.error(f"functions:{function}")
    assert "crashed" in text and why in text, text
    assert daemon.call("functions:square", 5) == 25


def test_a_segfault_shows_where_it_was(make_daemon: MakeDaemon) -> None:
    text = make_daemon("size = 1\n").error("functions:segfault")
    assert "Fatal Python error: Segmentation fault" in text and 'functions.py", line 6 in segfault' in text, text


def test_an_allocation_beyond_a_limit_is_the_tasks_memory_error(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon("size = 1\n")
    before = daemon.call("functions:pid")
    assert "MemoryError" in daemon.error("functions:eat")
    assert daemon.call("functions:pid") == before


def test_tasks_queued_behind_deaths_run_elsewhere(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon("size = 2\n")
    numbers = list(range(1, 31))
    calls = [
        daemon.start_cli("call", "-p", "py", "functions:maybe_die", "--json", json.dumps([number])) for number in numbers
    ]
    for number, call in zip(numbers, calls):
        out, err = call.communicate(timeout=100)
        if number % 5 == 0:
            assert b"SIGKILL" in err
        else:
            assert (call.returncode, out) == (0, str(number).encode()), err


def test_a_worker_killed_at_any_moment_is_replaced(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon("size = 2\n")
    for _ in range(10):
        workers = json.loads(daemon.cli("--json", "workers").stdout)["workers"]
        subprocess.run(["kill", "-9", *(str(worker["pid"]) for worker in workers if worker.get("pid"))], check=False)
        assert daemon.call("functions:square", 3) == 9


def test_an_interpreter_without_the_package_is_named_with_the_cure(
    make_daemon: MakeDaemon, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    python = tmp_path / "bare/bin/python"
    daemon = make_daemon(f'interpreter = "{python}"\nenv = {{ PYTHONPATH = "" }}\n')
    reason = daemon.degraded_reason()
    assert f"{python} (Python {sys.version.split()[0]}) has no package prefork; cure: {python} -m pip install" in reason
    assert "Traceback" not in reason


def test_an_interpreter_that_is_not_there_is_named(make_daemon: MakeDaemon) -> None:
    reason = make_daemon('interpreter = "/no/such/python"\n').degraded_reason()
    assert "/no/such/python" in reason and "No such file" in reason


def test_a_preload_that_fails_is_named(make_daemon: MakeDaemon) -> None:
    reason = make_daemon('preload = ["json", "no_such_module"]\n').degraded_reason()
    assert "preload of no_such_module: ModuleNotFoundError: No module named 'no_such_module'" in reason


def test_preloaded_modules_are_there(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon('size = 1\npreload = ["colorsys"]\n')
    daemon.write_module("look", "import sys\ndef loaded(): return 'colorsys' in sys.modules\n")
    assert daemon.call("look:loaded") is True


def with_initializer(initializer: Callable[[], None]) -> str:
    pickled = base64.b64encode(cloudpickle.dumps(initializer)).decode()
    command = [sys.executable, "-m", "prefork.worker", "--pool", "py", "--initializer", pickled]
    return f"size = 2\nzygote_command = {json.dumps(command)}\n"


def test_an_initializer_that_fails_degrades_the_pool_without_a_storm(make_daemon: MakeDaemon) -> None:
    def initializer() -> None:
        raise OSError("no licence")

    daemon = make_daemon(with_initializer(initializer))
    reason = daemon.degraded_reason()
    assert "OSError: no licence" in reason
    assert daemon.log.read_text().count("no licence") <= 20


def test_an_initializer_that_hangs_is_ended_and_named(make_daemon: MakeDaemon) -> None:
    def initializer() -> None:
        import time

        time.sleep(1000)

    daemon = make_daemon(with_initializer(initializer) + 'start_timeout = "500ms"\n')
    assert "start_timeout" in daemon.degraded_reason()


def test_an_unused_pool_ends(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon('size = 1\n[pool.brief]\nruntime = "python"\nsize = 1\nidle_timeout = "1s"\n')
    wait_until(lambda: daemon.cli("pool", "show", "brief").returncode != 0, "the pool has ended")
    assert "pool brief ends: it was not used for its idle_timeout" in daemon.log.read_text()
    assert daemon.call("functions:square", 2) == 4, "the other pool stays"
