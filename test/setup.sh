#!/bin/sh
# Installs what the tests use. npm says nothing until it is done, so this says that it is still at it.
set -eu
cd "$(dirname "$0")/.."
echo "npm ci: installing what the tests use" >&2
npm ci --no-audit --no-fund --loglevel=error &
installation=$!
seconds=0
while kill -0 "$installation" 2>/dev/null; do
  sleep 1
  seconds=$((seconds + 1))
  [ $((seconds % 5)) -ne 0 ] || echo "npm ci: ${seconds} s" >&2
done
wait "$installation"
