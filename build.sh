#!/bin/sh
# Builds an AWS Lambda function for provided.al2023 out of a handler and bunstrap's runtime.ts: see --help.
# It is copied into other projects together with runtime.ts, and needs nothing else of bunstrap.
set -eu
unset ZIPOPT ZIP || true # default options of zip would change its output

bun_version=${BUN_VERSION:-1.4.2} # 1.4.5 starts no faster, and its zip is close to the limit
direct_upload_limit=52428800      # bytes: what Lambda takes without a detour through S3

usage() {
  cat <<END
Usage: ./build.sh [--arch x86_64|arm64] [--out DIR] [HANDLER.ts] [-- ARGUMENTS FOR BUN BUILD]

Compiles HANDLER.ts into DIR/<arch>/bootstrap, and packs that into DIR/bootstrap-<arch>.zip, ready for upload.

  HANDLER.ts      the file that calls run(); handler.example.ts beside this script unless given
  --arch ARCH     x86_64 or arm64; both unless given
  --out DIR       where to write to, relative to the current directory; dist unless given
  --help          this text

What follows -- goes to bun build as it is, after the arguments that build.sh gives, in the directory of the handler's
project (the nearest one up from the handler that has a package.json):
  ./build.sh handler.ts -- --define 'process.env.STAGE="beta"' --external sharp

Environment:
  BUN_VERSION     the version of Bun to build with; $bun_version unless given. It is taken from node_modules beside this
                  script or from the PATH if it is there, and is otherwise installed through npm.
END
}

fail() {
  printf 'build.sh: %s\n' "$1" >&2
  exit "${2:-1}"
}

misused() {
  fail "$1 (./build.sh --help tells more)" 2
}

# ── Arguments ─────────────────────────────────────────────────────────────────────────────────────────────────────────

here=$(cd "$(dirname "$0")" && pwd)
architectures="x86_64 arm64"
out=dist
handler=
while [ $# -gt 0 ]; do
  case $1 in
    --arch | --out) [ $# -gt 1 ] || misused "$1 needs a value" ;;
  esac
  case $1 in
    --arch) architectures=$2 && shift ;;
    --arch=*) architectures=${1#*=} ;;
    --out) out=$2 && shift ;;
    --out=*) out=${1#*=} ;;
    --help | -h) usage && exit ;;
    --) shift && break ;;
    -*) misused "unknown option $1" ;;
    *) [ -z "$handler" ] || misused "two handlers, $handler and $1: one executable is built from one file" && handler=$1 ;;
  esac
  shift
done
case $architectures in
  x86_64 | arm64 | "x86_64 arm64") ;;
  *) misused "unknown architecture $architectures: it is x86_64 or arm64" ;;
esac
[ -n "$out" ] || misused "--out needs a value"
[ -n "$handler" ] || handler=$here/handler.example.ts
[ -f "$handler" ] || fail "there is no handler $handler"
command -v zip >/dev/null || fail "zip is not installed (apt-get install zip, dnf install zip)"

# ── Bun ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

is_wanted() {
  [ "$("$1" --version 2>/dev/null)" = "$bun_version" ]
}

find_bun() {
  cache=$here/node_modules/.cache/bun-$bun_version
  for bun in "$here/node_modules/.bin/bun" bun "$cache/node_modules/.bin/bun"; do
    if is_wanted "$bun"; then return; fi
  done
  command -v npm >/dev/null || fail "Bun $bun_version is not installed, and there is no npm to install it with"
  printf 'build.sh: installing Bun %s into %s\n' "$bun_version" "$cache" >&2
  mkdir -p "$cache"
  npm install --prefix "$cache" --no-save --no-package-lock --no-audit --no-fund --silent "bun@$bun_version" >&2 ||
    fail "npm could not install Bun $bun_version"
  is_wanted "$bun" || fail "npm installed a Bun that is not $bun_version or does not run: see $cache"
}
find_bun

# ── Build ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

# Stack traces name source files relative to the directory that Bun runs in, so that is always the handler's project.
handler=$(cd "$(dirname "$handler")" && pwd)/$(basename "$handler")
project=$(dirname "$handler")
while [ ! -f "$project/package.json" ] && [ "$project" != / ]; do project=$(dirname "$project"); done
[ -f "$project/package.json" ] || project=$(dirname "$handler")

mkdir -p "$out"
work=$(mktemp -d "$(cd "$out" && pwd)/.build.XXXXXX") # on the same file system, so that the result can be moved at once
trap 'rm -rf "$work"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# The arguments are the ones for bun build. --minify would rename classes, and with them the types of errors.
compile() {
  case $1 in
    x86_64) target=bun-linux-x64 ;;
    arm64) target=bun-linux-arm64 ;;
  esac
  executable=$work/$1/bootstrap
  shift
  (cd "$project" && NODE_ENV=production "$bun" build "$handler" --compile --target="$target" --outfile="$executable" \
    --bytecode --format=esm --minify-whitespace --minify-syntax --sourcemap \
    --no-compile-autoload-dotenv --no-compile-autoload-bunfig "$@" >"$work/log" 2>&1) &&
    [ -f "$executable" ] && return
  cat "$work/log" >&2
  fail "bun build failed for $handler"
}

# The same bytes make the same zip, whenever and wherever: a fixed time, in a fixed time zone, and no extra fields.
pack() {
  chmod 755 "$work/$1/bootstrap"
  TZ=UTC0 touch -t 198001010000 "$work/$1/bootstrap"
  (cd "$work/$1" && TZ=UTC0 zip -q -9 -X "$work/bootstrap-$1.zip" bootstrap) || fail "zip failed for $1"
}

for arch in $architectures; do
  mkdir "$work/$arch"
  compile "$arch" "$@"
  rm -f "$work/$arch/bootstrap.map" # the executable holds it
  pack "$arch"
done

# ── Result ────────────────────────────────────────────────────────────────────────────────────────────────────────────

megabytes() {
  awk -v bytes="$(wc -c <"$1")" 'BEGIN { printf "%.1f MB", bytes / 1000000 }'
}

for arch in $architectures; do
  zip=$out/bootstrap-$arch.zip
  mkdir -p "$out/$arch"
  touch "$work/$arch/bootstrap"
  mv -f "$work/$arch/bootstrap" "$out/$arch/bootstrap"
  mv -f "$work/bootstrap-$arch.zip" "$zip"
  printf '%s  %s  (%s/%s/bootstrap  %s)\n' "$zip" "$(megabytes "$zip")" "$out" "$arch" "$(megabytes "$out/$arch/bootstrap")"
  if [ "$(wc -c <"$zip")" -gt $direct_upload_limit ]; then
    printf 'build.sh: warning: %s is larger than 50 MiB: Lambda takes it only from S3\n' "$zip" >&2
  fi
done
