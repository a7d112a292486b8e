"""One worker's runner without a daemon: calls of each content type, and everything that can go wrong in one."""

from __future__ import annotations

import base64
import json
import os
import pathlib
import pickle
import sys
from collections.abc import Callable, Iterator
from typing import Any

import cloudpickle
import numpy
import pytest

from prefork import codec
from prefork.worker import runner as runner_module


class Ended:
    """How a task ended, and what it wrote."""

    def __init__(self, fields: tuple[str | None, str, bytes, int | None], output: str) -> None:
        self.error, self.content_type, self.payload, self.exit_code = fields
        self.output = output

    @property
    def value(self) -> Any:
        assert self.content_type.startswith(codec.PICKLE)
        return codec.loads(memoryview(self.payload), self.content_type)


class Worker:
    """Runs tasks one after the other in one child process, as a worker does."""

    def __init__(self, **options: Any) -> None:
        self._runner = runner_module.Runner(**{"path": None, "preload": [], "initializer": "", "learns": False, **options})

    def run(self, *tasks: tuple[str, str, bytes], dedicated: bool = False) -> list[Ended]:
        answers, answer = os.pipe()
        output, stdout = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.dup2(stdout, 1)
            os.dup2(stdout, 2)
            self._runner.start(3)
            ends = [self._runner.run(*task, dedicated, True) for task in tasks]
            with os.fdopen(answer, "wb") as file:
                pickle.dump([(e.error, e.content_type, b"".join(e.parts), e.exit_code) for e in ends], file)
            os._exit(0)
        os.close(answer)
        os.close(stdout)
        with os.fdopen(answers, "rb") as file:
            data = file.read()
        with os.fdopen(output, "r") as file:
            text = file.read()
        assert os.waitpid(pid, 0)[1] == 0, text
        return [Ended(fields, text) for fields in pickle.loads(data)]

    def call(self, function: Callable[..., Any], *args: Any, dedicated: bool = False, **kwargs: Any) -> Ended:
        """By value, as a client does."""
        encoded = codec.dumps((b"digest", cloudpickle.dumps(function), args, kwargs))
        (ended,) = self.run((function.__name__, encoded.content_type, b"".join(encoded.parts)), dedicated=dedicated)
        return ended

    def call_json(self, name: str, call: Any) -> Ended:
        text = call if isinstance(call, str) else json.dumps(call)
        return self.run((name, codec.JSON, text.encode()))[0]


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.fixture
def user_path(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pathlib.Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path


# --- calls ---


def test_a_pickled_call_by_name_and_by_value(worker: Worker) -> None:
    by_name = codec.dumps(((7, 2), {}))
    ended = worker.run(("operator:sub", by_name.content_type, b"".join(by_name.parts)))[0]
    assert (ended.error, ended.value) == (None, 5)
    assert worker.call(lambda a, b: a * b, 6, b=7).value == 42


def test_a_function_that_came_by_value_is_kept_by_its_digest(worker: Worker) -> None:
    counter = cloudpickle.dumps(eval("lambda seen=[]: (seen.append(1), len(seen))[1]"))
    task = ("counter", codec.PICKLE, pickle.dumps((b"one", counter, (), {})))
    other = ("counter", codec.PICKLE, pickle.dumps((b"two", counter, (), {})))
    assert [ended.value for ended in worker.run(task, task, other)] == [1, 2, 1]


def test_arrays_arrive_and_return_beside_the_pickle(worker: Worker) -> None:
    array = numpy.arange(100_000)
    ended = worker.call(lambda a: a[::-1].copy(), array)
    assert ended.content_type == codec.PICKLE + codec.BUFFERS
    assert (ended.value == array[::-1]).all()


def test_a_chunk_of_calls_returns_the_list_of_values(worker: Worker) -> None:
    payload = pickle.dumps(([(1,), (2,), (3,)], {}))
    ended = worker.run(("math:sqrt", codec.PICKLE + codec.CALLS, payload))[0]
    assert ended.value == pytest.approx([1, 2**0.5, 3**0.5])


def test_the_first_exception_ends_a_chunk_and_says_which_call(worker: Worker) -> None:
    payload = pickle.dumps(([(1,), (4,), (-1,), ("x",)], {}))
    ended = worker.run(("math:sqrt", codec.PICKLE + codec.CALLS, payload))[0]
    error, text, index = ended.value
    assert isinstance(error, ValueError) and "math domain error" in text and index == 2


def test_the_callers_directory_is_the_tasks_and_not_the_next_ones(worker: Worker, tmp_path: pathlib.Path) -> None:
    elsewhere = ("cwd", codec.PICKLE, pickle.dumps(((), {}, {"cwd": str(tmp_path)})))
    here = ("cwd", codec.PICKLE, pickle.dumps(((), {})))
    first, second = worker.run(("os:getcwd", *elsewhere[1:]), ("os:getcwd", *here[1:]))
    assert (first.value, second.value) == (str(tmp_path), os.getcwd())
    gone = pickle.dumps(((), {}, {"cwd": str(tmp_path / "gone")}))
    error, _ = worker.run(("os:getcwd", codec.PICKLE, gone))[0].value
    assert isinstance(error, FileNotFoundError)


@pytest.mark.parametrize("call, value", [([7, 2], 5), ({"args": [7, 2], "kwargs": {}}, 5)])
def test_json_calls(worker: Worker, call: Any, value: Any) -> None:
    ended = worker.call_json("operator:sub", call)
    assert (ended.error, ended.content_type, json.loads(ended.payload)) == (None, codec.JSON, value)


def test_json_keywords_and_text(worker: Worker) -> None:
    assert worker.call_json("textwrap:shorten", {"text": "hello wörld", "width": 40}).payload == '"hello wörld"'.encode()


@pytest.mark.parametrize(
    "name, call, error",
    [
        ("operator:sub", "{", "the payload is not JSON: "),
        ("operator:sub", "3", "the payload is a JSON int; a call is [args...] or {kwargs}"),
        ("builtins:set", [], "the result, a set, is not JSON: Object of type set is not JSON serializable"),
        ("builtins:float", ["nan"], "the result, a float, is not JSON: "),
        ("nothing", [], "function 'nothing' is not of the form module:function"),
        ("no_such_module:f", [], "ModuleNotFoundError: no module named 'no_such_module' on sys.path, which is ["),
        ("json.nothing:f", [], "ModuleNotFoundError: no module named 'json.nothing' on sys.path"),
        ("os:nothing", [], "AttributeError: module 'os' has no attribute 'nothing'"),
        ("os:sep", [], "TypeError: os:sep is a str, not a function"),
        ("operator:sub", [1], "TypeError: "),
    ],
)
def test_what_is_wrong_with_a_json_call_is_said(worker: Worker, name: str, call: Any, error: str) -> None:
    ended = worker.call_json(name, call)
    assert ended.error is not None and ended.error.startswith(error), ended.error
    assert ended.payload == b""


def test_bytes_calls(worker: Worker, user_path: pathlib.Path) -> None:
    (user_path / "for_bytes.py").write_text("def turn(b): return b[::-1]\ndef number(b): return 3\ndef none(b): pass\n")
    turned, number, none = worker.run(*((f"for_bytes:{name}", "", b"abc") for name in ("turn", "number", "none")))
    assert (turned.error, turned.payload, turned.content_type) == (None, b"cba", codec.BYTES)
    assert number.error == "a call with bytes returns bytes, not a int; JSON takes other values"
    assert (none.error, none.payload) == (None, b"")


def test_an_unknown_content_type_names_those_that_are_known(worker: Worker) -> None:
    ended = worker.run(("operator:sub", "text/csv", b""))[0]
    assert ended.error == (
        "content type 'text/csv': a python pool takes application/json, application/octet-stream and "
        "application/x-python-pickle"
    )


@pytest.mark.parametrize("payload", [b"", b"junk", pickle.dumps(3), pickle.dumps((1,)), pickle.dumps(())])
def test_a_payload_that_is_no_call_fails_the_task_alone(worker: Worker, payload: bytes) -> None:
    bad, good = worker.run(("operator:sub", codec.PICKLE, payload), ("operator:sub", codec.JSON, b"[2, 1]"))
    assert bad.error
    assert good.payload == b"1"


# --- failures ---


class Stubborn(Exception):
    """Can be pickled, but not be rebuilt from that."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")


def test_an_exception_travels_with_its_traceback(worker: Worker) -> None:
    def outer() -> None:
        def inner() -> None:
            raise KeyError("missing")

        inner()

    ended = worker.call(outer)
    error, text = ended.value
    assert isinstance(error, KeyError) and error.args == ("missing",)
    assert "in inner" in text and "in outer" in text and "worker/runner.py" not in text
    assert ended.error is not None and ended.error.startswith("KeyError: 'missing'\n\nTraceback")
    assert ended.error.endswith(text)


def test_causes_are_part_of_the_text(worker: Worker) -> None:
    def function() -> None:
        try:
            1 / 0
        except ZeroDivisionError as error:
            raise RuntimeError("told") from error

    _, text = worker.call(function).value
    assert text.index("ZeroDivisionError") < text.index("RuntimeError: told")


def test_an_exception_that_cannot_be_rebuilt_leaves_its_text(worker: Worker) -> None:
    def function() -> None:
        raise Stubborn(3, "no")

    ended = worker.call(function)
    assert ended.payload == b""
    assert ended.error is not None and "Stubborn: 3: no" in ended.error.splitlines()[0]


def test_an_exception_that_cannot_be_pickled_or_printed_leaves_its_name(worker: Worker) -> None:
    def function() -> None:
        class Broken(Exception):
            def __str__(self) -> str:
                raise RuntimeError("in str")

            def __reduce__(self) -> Any:
                raise RuntimeError("in reduce")

        raise Broken

    ended = worker.call(function)
    assert ended.payload == b""
    assert ended.error is not None and "Broken" in ended.error


def test_a_result_that_cannot_be_pickled_is_a_clear_error(worker: Worker) -> None:
    ended = worker.call(lambda: (x for x in ()))
    error, _ = ended.value
    assert isinstance(error, pickle.PicklingError)
    assert str(error) == "the result, a generator, can't be pickled: TypeError: cannot pickle 'generator' object"


def test_endless_recursion_fails_the_task_alone(worker: Worker) -> None:
    def function(n: int) -> int:
        return function(n + 1)

    error, _ = worker.call(function, 0).value
    assert isinstance(error, RecursionError)

    def deep() -> list[Any]:
        value: list[Any] = []
        for _ in range(100_000):
            value = [value]
        return value

    error, _ = worker.call(deep).value
    assert isinstance(error, pickle.PicklingError) and "recursion" in str(error)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError])
def test_no_exception_escapes(worker: Worker, kind: type[BaseException]) -> None:
    def function() -> None:
        raise kind("text")

    ended = worker.call(function)
    error, _ = ended.value
    assert type(error) is kind
    assert ended.exit_code is None


@pytest.mark.parametrize("code, expected, text", [(None, 0, ""), (3, 3, ""), (-1, 255, ""), ("words", 1, "words\n")])
def test_a_dedicated_process_ends_with_the_code_of_sys_exit(worker: Worker, code: Any, expected: int, text: str) -> None:
    ended = worker.call(lambda: sys.exit(code), dedicated=True)
    assert (ended.error, ended.exit_code, ended.output) == (None, expected, text)


def test_a_dedicated_process_prints_its_exception_and_waits_for_its_threads(worker: Worker) -> None:
    def function() -> None:
        import threading

        def outlive() -> None:
            threading.main_thread().join()
            print("thread done")

        threading.Thread(target=outlive).start()
        raise ValueError("no")

    ended = worker.call(function, dedicated=True)
    assert "ValueError: no\n" in ended.output and "thread done\n" in ended.output
    assert isinstance(ended.value[0], ValueError)


# --- what a task leaves behind ---


def test_output_is_complete_and_streams_are_put_back(worker: Worker, user_path: pathlib.Path) -> None:
    (user_path / "writes.py").write_text(
        "import io, sys\n"
        "def plain(): print('one', end='')\n"
        "def closes(): print('two'); sys.stdout.close(); sys.stderr.close()\n"
        "def replaces(): sys.stdout = io.StringIO(); print('lost')\n"
        "def odd(): print('\\ud800x')\n"
    )
    tasks = [(f"writes:{name}", codec.JSON, b"[]") for name in ("plain", "closes", "plain", "replaces", "odd", "plain")]
    ends = worker.run(*tasks)
    assert [ended.error is None for ended in ends] == [True, True, True, True, False, True]
    assert ends[0].output == "onetwo\noneone"


def test_a_changed_source_is_used_by_the_next_task(worker: Worker, user_path: pathlib.Path) -> None:
    source = user_path / "changes.py"
    source.write_text("import pathlib\ndef f(): pathlib.Path(__file__).write_text('def f(): return 2'); return 1\n")
    task = ("changes:f", codec.JSON, b"[]")
    assert [ended.payload for ended in worker.run(task, task)] == [b"1", b"2"]


def test_the_initializer_runs_once_and_its_failure_is_the_workers() -> None:
    def initializer() -> None:
        os.environ["RUNS"] = os.environ.get("RUNS", "") + "x"

    worker = Worker(initializer=base64.b64encode(cloudpickle.dumps(initializer)).decode())
    task = ("os:getenv", codec.JSON, b'["RUNS"]')
    assert [ended.payload for ended in worker.run(task, task)] == [b'"x"', b'"x"']

    def failing() -> None:
        raise OSError("no licence")

    runner = runner_module.Runner(None, [], base64.b64encode(cloudpickle.dumps(failing)).decode(), learns=False)
    pid = os.fork()
    if pid == 0:
        try:
            runner.start(0)
        except OSError as error:
            os._exit(7 if str(error) == "no licence" else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
