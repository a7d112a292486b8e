#!/usr/bin/env bash
# Installs prefork into a folder, builds a project that knows only that folder, and runs it: its native module in the
# installed daemon, called by its own client and by the installed command line.
#   stranger_test.sh BUILD_FOLDER WORK_FOLDER
set -euo pipefail
build=$1
work=$2
here=$(cd "$(dirname "$0")" && pwd)
prefix=$work/prefix

rm -rf "$work"
mkdir -p "$work"
sockets=$(mktemp -d)
daemon_pid=''
cleanup() {
  [[ -z $daemon_pid ]] || { kill -TERM "$daemon_pid" 2>/dev/null && wait "$daemon_pid"; } || true
  rm -rf "$sockets" "$work"
}
trap cleanup EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }

DESTDIR='' cmake --install "$build" --prefix "$prefix" >"$work/install.log"
for file in bin/preforkd bin/prefork bin/prefork-worker include/prefork/client.h include/prefork/native.h \
  share/prefork/proto/prefork/v1/task_service.proto share/prefork/prefork.schema.json \
  share/man/man1/prefork.1 share/man/man5/prefork.toml.5 share/man/man8/preforkd.8 \
  lib/systemd/system/preforkd.service lib/systemd/user/preforkd.service etc/prefork/prefork.toml; do
  [[ -s $prefix/$file ]] || fail "$file is not installed"
done
"$prefix/bin/preforkd" --check-config --config "$prefix/etc/prefork/prefork.toml"

echo "== a stranger's project"
cmake -S "$here/project" -B "$work/project" -G Ninja -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_BUILD_TYPE=Debug \
  >"$work/configure.log" || { cat "$work/configure.log" >&2; fail "the project can't be configured"; }
cmake --build "$work/project" >"$work/build.log" 2>&1 || { cat "$work/build.log" >&2; fail "the project does not build"; }
! grep -rq "$PWD/client" "$work/project/build.ninja" || fail "the project saw the source tree"

echo "== its module and its client, with the installed daemon"
cat >"$work/prefork.toml" <<EOF
[pool.stranger]
runtime = "native"
size = 1
modules = ["$work/project/stranger_module.so"]
EOF
export PREFORK_ADDRESS=unix:$sockets/d.sock
"$prefix/bin/preforkd" --config "$work/prefork.toml" --socket "$sockets/d.sock" 2>"$work/preforkd.log" &
daemon_pid=$!
deadline=$((SECONDS + 30))
until "$prefix/bin/prefork" ping >/dev/null 2>&1; do
  kill -0 "$daemon_pid" 2>/dev/null || { cat "$work/preforkd.log" >&2; fail "the daemon ended"; }
  [[ $SECONDS -lt $deadline ]] || { cat "$work/preforkd.log" >&2; fail "the daemon does not answer"; }
  sleep 0.05
done
[[ $("$work/project/stranger_client" krow) == work ]] || fail "the stranger's client got something else"
[[ $("$prefix/bin/prefork" call -p stranger reverse --data krow) == work ]] || fail "prefork call got something else"

kill -TERM "$daemon_pid"
wait "$daemon_pid" || { cat "$work/preforkd.log" >&2; fail "the daemon did not end well"; }
daemon_pid=''
[[ ! -e $sockets/d.sock ]] || fail "the socket is still there"
echo PASSED
