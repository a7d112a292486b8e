# Sourced by tests/run and tests/bench/run, in the project's folder.

# An environment for the Python package's build, tests and measurements, made anew when its requirements change:
# build/venv-HASH, of which $venv is the absolute path. Fails when it can't be made; build/venv.log says why.
python_venv() {
  local list=tests/client/python/requirements.txt hash
  hash=$({ /usr/bin/python3 --version && cat "$list"; } | sha256sum | cut -c 1-12)
  venv=$PWD/build/venv-$hash
  [[ -e $venv/complete ]] && return
  rm -rf build/venv-*
  { /usr/bin/python3 -m venv "$venv" && "$venv/bin/python" -m pip install -q -r "$list"; } >build/venv.log 2>&1 &&
    touch "$venv/complete"
}
