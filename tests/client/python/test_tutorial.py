"""Every code block of a multiprocessing tutorial, with nothing changed but the import, prints what it should."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

import pytest

from prefork import multiprocessing

BLOCKS = pathlib.Path(__file__).parent / "tutorial"

# What each block prints; lines of different processes come in any order.
EXPECTED: dict[str, list[str]] = {
    "start": ["Worker process started"] * 3,
    "arguments": [f"Worker {number} started" for number in range(3)],
    # A process has an exit code, not a value; the tutorial adds up three zeros.
    "square_sum": ["Total square sum: 0"],
    "read_files": [f"Read {10 * number} bytes from file{number}.txt" for number in (1, 2, 3)],
    "shared_value": ["Shared value: 3"],
    "cpu_count": [],
    "queue": [f"Consumed {number}" for number in range(5)],
}


def test_every_block_is_expected() -> None:
    assert {block.stem for block in BLOCKS.glob("*.py")} == EXPECTED.keys()


@pytest.mark.parametrize("block", EXPECTED)
def test_block(block: str, tmp_path: pathlib.Path) -> None:
    text = (BLOCKS / f"{block}.py").read_text()
    for name in sorted(set(re.findall(r"multiprocessing\.(\w+)", text))):
        if name not in multiprocessing.__all__:
            pytest.skip(f"multiprocessing.{name} is not there yet")
    text = text.replace("import multiprocessing\n", "from prefork import multiprocessing\n")
    if not text.startswith("from prefork"):  # a line from the middle of a program
        text = "from prefork import multiprocessing\n" + text
    for number in (1, 2, 3):
        (tmp_path / f"file{number}.txt").write_text("0123456789" * number)
    (tmp_path / "block.py").write_text(text)
    ended = subprocess.run(
        [sys.executable, "block.py"], cwd=tmp_path, capture_output=True, text=True, timeout=100, env=os.environ
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert sorted(ended.stdout.splitlines()) == sorted(EXPECTED[block])
