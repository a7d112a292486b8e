#!/usr/bin/env bash
# Runs a Python program with the packages grpc and google.protobuf: those of the system (python3-grpcio) if
# it has them, else from PyPI in a virtual environment that is made once in the build folder.
#
#   with_grpcio.sh BUILD_FOLDER PROGRAM [ARGUMENT...]
set -euo pipefail

build_folder=$1
shift
for python in /usr/bin/python3 "$build_folder/venv-grpcio/bin/python"; do
  if [[ -x $python ]] && "$python" -c 'import grpc, google.protobuf' 2>/dev/null; then
    exec "$python" "$@"
  fi
done

venv=$build_folder/venv-grpcio
echo "installing grpcio into $venv" >&2
python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check grpcio protobuf
exec "$venv/bin/python" "$@"
