"""Reads files in parallel; one that can't be read costs one result."""

import pathlib
import sys
import tempfile

import prefork


def size_of(path: pathlib.Path) -> int:
    return len(path.read_text())


with tempfile.TemporaryDirectory() as folder, prefork.Executor() as executor:
    paths = [pathlib.Path(folder, f"file{number}.txt") for number in (1, 2, 3, 4)]
    for number, path in enumerate(paths[:3], 1):
        path.write_text("0123456789" * number)
    for path, future in [(path, executor.submit(size_of, path)) for path in paths]:
        error = future.exception()
        print(path.name, future.result() if error is None else type(error).__name__)
    sys.stdout.flush()
