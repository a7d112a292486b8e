#!/usr/bin/env bash
# pip install of the package into an environment that has nothing, and its use as a stranger would use it.
#
#   install_test.sh PYTHON SCRATCH_DIR
set -euo pipefail
python=$1 scratch=$2
source=$(cd "$(dirname "$0")/../../.." && pwd)
unset PYTHONPATH PREFORK_ADDRESS PREFORK_DAEMON PREFORK_CLI

rm -rf "$scratch"
mkdir -p "$scratch"
"$python" -c 'import sys; print(sys._base_executable)' >"$scratch/base"
"$(cat "$scratch/base")" -m venv "$scratch/venv"
bin=$scratch/venv/bin
"$bin/pip" install --quiet --disable-pip-version-check "$source/client/python"
for program in preforkd prefork prefork-worker; do
  [[ -x $bin/$program ]] || { echo "$program is not installed"; exit 1; }
done
[[ $("$bin/pip" list --format=freeze | grep -vE '^(pip|setuptools)=' | cut -d= -f1 | sort | xargs) == "cloudpickle prefork" ]] ||
  { echo "more was installed than the package and cloudpickle:"; "$bin/pip" list; exit 1; }

# A short path: sockets lie in it.
run=$(mktemp -d)
cleanup() {
  [[ -z ${daemon:-} ]] || { kill "$daemon" && wait "$daemon"; } || true
  rm -rf "$run"
}
trap cleanup EXIT
cat >"$run/prefork.toml" <<END
[daemon]
socket = "$run/d.sock"
[pool.py]
runtime = "python"
size = 1
interpreter = "$bin/python"
END
cd "$run"
"$bin/preforkd" --config prefork.toml 2>log &
daemon=$!
export PREFORK_ADDRESS=unix:$run/d.sock
answered=
for ((i = 0; i < 500; ++i)); do
  if "$bin/prefork" status >/dev/null 2>&1; then answered=yes; break; fi
  sleep 0.02
done
[[ -n $answered ]] || { cat log; exit 1; }
[[ $("$bin/prefork" call -p py operator:mul --json '[6, 7]' </dev/null) == 42 ]]
cat >square.py <<'END'
import prefork

with prefork.Executor() as executor:
    print(sum(executor.map(lambda x: x * x, range(10))))
END
[[ $("$bin/python" square.py) == 285 ]]
echo "the package is installed and works"
