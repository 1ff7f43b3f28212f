#!/bin/sh
# Invokes what build.sh has built with an event, or the example from source on a machine that cannot run it.
set -eu
cd "$(dirname "$0")/.."

case $(uname -sm) in
  "Linux x86_64") command=dist/x86_64/bootstrap ;;
  "Linux aarch64") command=dist/arm64/bootstrap ;;
  *) command="node_modules/.bin/bun handler.example.ts" ;;
esac
printf "\n$ %s '%s'\n" "$command" "$1"
$command "$1"
echo
