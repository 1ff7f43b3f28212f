#!/bin/sh
# Builds an AWS Lambda function for provided.al2023 out of a handler and bunstrap's runtime.ts: see --help.
# It is copied into other projects together with runtime.ts, and needs nothing else of bunstrap.
set -eu
unset ZIPOPT ZIP || true # default options of zip would change its output

bun_version=${BUN_VERSION:-1.4.2} # 1.4.5 starts no faster, and its zip is close to the limit
direct_upload_limit=52428800      # bytes: what Lambda takes without a detour through S3

usage() {
  cat <<END
Usage: ./build.sh [--arch x86_64|arm64] [--out DIR] [--include PATH]... [HANDLER.ts] [-- ARGUMENTS FOR BUN BUILD]

Compiles HANDLER.ts into DIR/<arch>/bootstrap, and packs that into DIR/bootstrap-<arch>.zip, ready for upload.

  HANDLER.ts      the file that calls run(); handler.example.ts beside this script unless given
  --arch ARCH     x86_64 or arm64; both unless given
  --out DIR       where to write to, relative to the current directory; dist unless given
  --include PATH  a file, or a folder with all that is in it, to pack beside bootstrap under the same relative path, and
                  to put beside DIR/<arch>/bootstrap; as often as wanted: --include libimage.so --include assets/fonts
                  (what an earlier build has put beside DIR/<arch>/bootstrap stays there, but is not in the zip)
  --help          this text

What follows -- goes to bun build as it is, after the arguments that build.sh gives, in the directory of the handler's
project (the nearest one up from the handler that has a package.json):
  ./build.sh handler.ts -- --define 'process.env.STAGE="beta"' --external sharp

Environment:
  BUN_VERSION     the version of Bun to build with; $bun_version unless given. It is taken from node_modules beside this
                  script or from the PATH if it is there, and is otherwise installed through npm, into
                  node_modules/.cache beside this script.
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

# Notes the value of an --include as ./ and the path, with nothing needless in it.
include() {
  case $1 in
    "") misused "--include needs a value" ;;
    /*) misused "--include $1 is absolute: what is relative to the current directory is packed under the same path" ;;
    *"$line_feed"*) misused "--include $1 has a line feed in it: rename the file" ;;
  esac
  path=$(printf './%s/\n' "$1" | LC_ALL=C sed -e 's,//*,/,g' -e :again -e 's,/\./,/,' -e 't again' -e 's,/$,,')
  case $path/ in
    */../*) misused "--include $1 has .. in it: call build.sh from a directory above" ;;
    ./bootstrap/*) misused "--include $1 would take the place of bootstrap: rename it" ;;
  esac
  includes=$includes$path$line_feed
}

here=$(cd "$(dirname "$0")" && pwd)
architectures="x86_64 arm64"
out=dist
includes= # a line each
handler=
line_feed='
'
while [ $# -gt 0 ]; do
  case $1 in
    --arch | --out | --include) [ $# -gt 1 ] || misused "$1 needs a value" ;;
  esac
  case $1 in
    --arch) architectures=$2 && shift ;;
    --arch=*) architectures=${1#*=} ;;
    --out) out=$2 && shift ;;
    --out=*) out=${1#*=} ;;
    --include) include "$2" && shift ;;
    --include=*) include "${1#*=}" ;;
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
[ -n "$handler" ] || [ -f "$here/handler.example.ts" ] || misused "which handler? ./build.sh handler.ts"
[ -n "$handler" ] || handler=$here/handler.example.ts
[ ! -d "$handler" ] || fail "$handler is a folder: name the file in it that calls run()"
[ -f "$handler" ] || fail "there is no handler $handler"
command -v zip >/dev/null || fail "zip is not installed (apt-get install zip, dnf install zip)"

# ── Included files ────────────────────────────────────────────────────────────────────────────────────────────────────

# Whether the second folder is the first, or in it, or will be.
holds() {
  there=$2
  while [ ! -d "$there" ]; do there=$(dirname "$there"); done
  case $(cd "$there" && pwd -P)/ in
    "$(cd "$1" && pwd -P)"/*) ;;
    *) return 1 ;;
  esac
}

# Prints what an included folder holds, or the included file itself, a line each.
files_of() {
  [ -e "$1" ] || [ -L "$1" ] || fail "there is no ${1#./} to include"
  if [ -d "$1" ]; then
    for folder in "$PWD" "$out" "$out/x86_64" "$out/arm64"; do
      ! holds "$1" "$folder" || misused "--include ${1#./} holds $folder, and with it what is built: name a part of it"
    done
  fi
  others=$(find -L "$1" ! -type f ! -type d) || fail "cannot read all of ${1#./}, which is to be included"
  [ -z "$others" ] || fail "cannot include what is neither a file nor a folder, as a link that leads nowhere: $others"
  misnamed=$(find -L "$1" -name "*$line_feed*")
  [ -z "$misnamed" ] || fail "cannot include a file with a line feed in its name: $misnamed"
  files=$(find -L "$1" -type f)
  [ -n "$files" ] || fail "there is no file in ${1#./} to include"
  printf '%s\n' "$files"
}

included=$(printf %s "$includes" | while IFS= read -r path; do files_of "$path"; done)

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

# What is packed, in the order of the zip.
{
  echo ./bootstrap
  [ -z "$included" ] || printf '%s\n' "$included" | LC_ALL=C sort -u
} >"$work/files"

# Copies what is included to where bootstrap will be.
stage() {
  mkdir "$work/$1"
  while IFS= read -r file; do
    [ ! -d "$out/$1/$file" ] || fail "$out/$1/${file#./} is a folder where a file goes: remove it"
    [ "$file" != ./bootstrap ] || continue
    [ -d "$work/$1/${file%/*}" ] || mkdir -p "$work/$1/${file%/*}"
    cp "$file" "$work/$1/$file" || fail "cannot read ${file#./}, which is to be included"
  done <"$work/files"
}

# The arguments are the ones for bun build. --minify would rename classes, and with them the types of errors.
compile() {
  case $1 in
    x86_64) target=bun-linux-x64 ;;
    arm64) target=bun-linux-arm64 ;;
  esac
  executable=$work/bootstrap
  shift
  (cd "$project" && NODE_ENV=production "$bun" build "$handler" --compile --target="$target" --outfile="$executable" \
    --bytecode --format=esm --minify-whitespace --minify-syntax --sourcemap \
    --no-compile-autoload-dotenv --no-compile-autoload-bunfig "$@" >"$work/log" 2>&1) &&
    [ -f "$executable" ] && return
  cat "$work/log" >&2
  fail "bun build failed for $handler"
}

# The same bytes make the same zip, whenever and wherever: a fixed order, fixed modes, a fixed time in a fixed time zone,
# no folders, and no extra fields.
pack() {
  find "$work/$1" -type f -perm -u+x -exec chmod 755 {} +
  find "$work/$1" -type f ! -perm -u+x -exec chmod 644 {} +
  TZ=UTC0 find "$work/$1" -type f -exec touch -t 198001010000 {} +
  (cd "$work/$1" && TZ=UTC0 zip -q -9 -X -@ "$work/bootstrap-$1.zip" <"$work/files") || fail "zip failed for $1"
}

for arch in $architectures; do
  stage "$arch"
done
for arch in $architectures; do
  compile "$arch" "$@"
  rm -f "$work/bootstrap.map" # the executable holds it
  mv "$work/bootstrap" "$work/$arch/bootstrap"
  pack "$arch"
done

# ── Result ────────────────────────────────────────────────────────────────────────────────────────────────────────────

megabytes() {
  awk -v bytes="$(wc -c <"$1")" 'BEGIN { printf "%.1f MB", bytes / 1000000 }'
}

for arch in $architectures; do
  zip=$out/bootstrap-$arch.zip
  find "$work/$arch" -type f -exec touch {} +
  while IFS= read -r file; do
    mkdir -p "$out/$arch/${file%/*}"
    mv -f "$work/$arch/$file" "$out/$arch/$file"
  done <"$work/files"
  mv -f "$work/bootstrap-$arch.zip" "$zip"
  printf '%s  %s  (%s/%s/bootstrap  %s)\n' "$zip" "$(megabytes "$zip")" "$out" "$arch" "$(megabytes "$out/$arch/bootstrap")"
  if [ "$(wc -c <"$zip")" -gt $direct_upload_limit ]; then
    printf 'build.sh: warning: %s is larger than 50 MiB: Lambda takes it only from S3\n' "$zip" >&2
  fi
done
