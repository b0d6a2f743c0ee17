#!/usr/bin/env bash
# A real IPFS node for the tests that are marked for one, from npm alone.
#
#   tests/peers/ipfs/ipfs.sh start    installs it where it is missing (about a minute), starts it, prints what to set
#   tests/peers/ipfs/ipfs.sh stop     ends it, by its process id
#
#   eval "$(tests/peers/ipfs/ipfs.sh start)"      # sets SSID_TEST_IPFS_API and SSID_TEST_IPFS_GATEWAY
#   cargo test -p ssid-tests anchoring
#
# Needs Node.js 20, npm and Python. State: $SSID_TEST_PEERS (default: target/peers) with code, repository, log and pid. Its
# ports are free ones of 127.0.0.1, so that several checkouts may test at once.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
home=${SSID_TEST_PEERS:-$here/../../../target/peers}/ipfs
code=$home/code
run=$home/run

install() {
  local want
  want=$(cat "$here/package.json" "$here/package-lock.json" | sha256sum | cut -c1-16)
  if [ "$(cat "$code/.installed" 2>/dev/null || true)" != "$want" ]; then
    mkdir -p "$code"
    cp "$here/package.json" "$here/package-lock.json" "$code/"
    (cd "$code" && npm ci --prefer-offline --ignore-scripts --omit=optional --no-audit --no-fund --loglevel=error >&2)
    echo "$want" > "$code/.installed"
  fi
  cp "$here/node.mjs" "$code/"
}

is_running() {
  [ -f "$run/pid" ] && kill -0 "$(cat "$run/pid")" 2>/dev/null
}

settings() {
  python3 -c '
import json, sys
ready = json.load(open(sys.argv[1]))
print("export SSID_TEST_IPFS_API=" + ready["api"], "SSID_TEST_IPFS_GATEWAY=" + ready["gateway"])' "$run/ready.json"
}

# Three, different because all are held at once.
free_ports() {
  python3 -c '
import socket
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*(socket.getsockname()[1] for socket in held), sep="\n")'
}

start() {
  install
  if is_running; then
    settings
    return
  fi
  rm -rf "$run"
  mkdir -p "$run"
  local ports
  mapfile -t ports < <(free_ports)
  setsid nohup node "$code/node.mjs" "$run/repo" "${ports[@]}" </dev/null >"$run/ready.json" 2>"$run/log" &
  echo $! > "$run/pid"
  for _ in $(seq 1 240); do
    if grep -qs '"ready":true' "$run/ready.json"; then
      settings
      return
    fi
    is_running || { cat "$run/log" >&2; echo "the IPFS node ended at its start" >&2; return 1; }
    sleep 0.25
  done
  echo "the IPFS node is not ready after 60 s: $run/log" >&2
  stop
  return 1
}

stop() {
  is_running || return 0
  local pid
  pid=$(cat "$run/pid")
  kill "$pid"
  for _ in $(seq 1 40); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.25
  done
  if kill -0 "$pid" 2>/dev/null; then kill -9 "$pid"; fi
  rm -f "$run/pid"
}

case ${1:-} in
  start | stop) "$1" ;;
  *)
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"
    exit 2
    ;;
esac
