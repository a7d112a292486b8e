"""python FOLDER ROW ROUNDS: measures one row of the table; tests/bench/rows/python.cc runs it and tells what it prints."""

import importlib
import sys

# Each is loaded for its own rows only: what this process has imported, the workers that it forks have, too.
_MODULES = {
    "py_submit": "calls",
    "py_map": "calls",
    "py_map_chunk100": "calls",
    "py_latency_p50": "calls",
    "py_echo_1mib": "payloads",
    "py_echo_100mib": "payloads",
    "py_square_sum": "payloads",
    "py_warm_start": "starts",
    "py_cold_start": "starts",
    "py_pss_8_workers": "memory",
}
# Exit code: something that the row imports is not installed.
_MISSING = 3

_row, _rounds = sys.argv[1:]
try:
    contest = importlib.import_module("contest")
    module = importlib.import_module(_MODULES[_row])
except ImportError as error:
    print(f"{error}; {sys.executable} needs what tests/client/python/requirements.txt names", file=sys.stderr)
    sys.exit(_MISSING)
contest.run(module.ROWS[_row], int(_rounds))
