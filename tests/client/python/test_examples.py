"""Every example runs, and prints what its README says."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import pytest

EXAMPLES = pathlib.Path(__file__).parents[3] / "client/python/examples"
PRINTED = {
    "arrays": "".join(
        f"{what:<20} total 3333333.500 in N\n" for what in ("one process", "numpy array", "prefork.array")
    ),
    "crash": "0\n1\n4\ncrashed: SIGKILL, attempt 1\n16\n25\n",
    "progress": "found 0\nfound 3\nfound 6\nfound 9\n"
    "done Progress(done=10.0, total=10.0, text='looked at 9')\nTaskTimeout\n",
    "read_files": "file1.txt 10\nfile2.txt 20\nfile3.txt 30\nfile4.txt FileNotFoundError\n",
    "square_sum": "total 333329.041 in N\n",
    "web": "[1, 2, 4, 8, 16]\nstopped after N\n",
}


def test_every_example_is_here() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == PRINTED.keys()


@pytest.mark.parametrize("name", PRINTED)
def test_example(name: str) -> None:
    ended = subprocess.run([sys.executable, str(EXAMPLES / f"{name}.py")], capture_output=True, text=True, timeout=100)
    assert ended.stderr == ""
    assert re.sub(r"[\d.]+ m?s\b", "N", ended.stdout) == PRINTED[name]


def test_types() -> None:
    """The package passes mypy's strict checks, as users' own strict checks demand."""
    pytest.importorskip("mypy")
    folder = EXAMPLES.parent
    command = [sys.executable, "-m", "mypy", "--config-file", str(folder / "pyproject.toml"), "--cache-dir=/dev/null"]
    ended = subprocess.run([*command, str(folder / "src/prefork")], capture_output=True, text=True, timeout=280)
    assert ended.returncode == 0, ended.stdout
