"""``python -m prefork.worker``: the zygote of a pool with the runtime python. preforkd starts it."""

from __future__ import annotations

import argparse
import sys
import types
from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m prefork.worker", description="The zygote of a pool with the runtime python; preforkd starts it."
    )
    parser.add_argument("--pool", default="", metavar="NAME", help="name of the pool, for titles of processes")
    parser.add_argument("--path", action="append", metavar="DIR", help="an entry of sys.path; given once or more it is all of it")
    parser.add_argument("--preload", action="append", default=[], metavar="MODULE", help="a module to import before workers are forked")
    parser.add_argument("--initializer", default="", metavar="BASE64", help="a cloudpickled function that each worker calls first")
    parser.add_argument("--no-learn", action="store_true", help="leave imports of tasks to each worker")
    options = parser.parse_args(arguments)

    from prefork import _worker
    from prefork.worker.runner import Runner

    # Tasks find the interpreter as a user's program does, not our arguments and our __main__.
    sys.argv = [""]
    sys.modules["__main__"] = types.ModuleType("__main__")
    runner = Runner(options.path, options.preload, options.initializer, learns=not options.no_learn)
    return _worker.serve(
        pool=options.pool,
        load=runner.load,
        start=runner.start,
        run=runner.run,
        no_memory=runner.no_memory,
        news=runner.news,
        news_fd=runner.news_fd(),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
