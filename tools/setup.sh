#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What building, the demo and the tests need, on a Debian 12 that has git and make:
#   1. Debian packages, through apt;
#   2. the files pinned in tools/pins.txt, through pip and npm, checked before they are unpacked:
#      two C libraries into subprojects/, DuckDB, data sets and two models into .deps/;
#   3. a Python environment in .deps/venv with the clients and peers that the tests run.
# Nothing of 2 and 3 is committed and nothing leaves the checkout. A step that is done is not done
# again: a stamp holds the hash of what the step was made from. `setup.sh --bench` adds the peers
# that only the benchmarks run.
set -euo pipefail
cd "$(dirname "$0")/.."
deps=.deps
mkdir -p "$deps"

say() { printf 'setup: %s\n' "$*" >&2; }
die() { printf 'setup: error: %s\n' "$*" >&2; exit 1; }

# A package and how to see that it is there: a command, a pkg-config module or a Python module.
needed='
gcc              cmd:gcc
g++              cmd:g++
meson            cmd:meson
ninja-build      cmd:ninja
pkg-config       cmd:pkg-config
clang-format     cmd:clang-format
curl             cmd:curl
ca-certificates  file:/etc/ssl/certs/ca-certificates.crt
tzdata           file:/usr/share/zoneinfo/America/New_York
npm              cmd:npm
python3          cmd:python3
python3-venv     py:ensurepip
libc6-dev        file:/usr/include/stdio.h
libuv1-dev       pc:libuv
libyaml-dev      pc:yaml-0.1
libsqlite3-dev   pc:sqlite3
libsodium-dev    pc:libsodium
libssl-dev       pc:libssl
libseccomp-dev   pc:libseccomp
openssl          cmd:openssl
libutf8proc-dev  pc:libutf8proc
zlib1g-dev       pc:zlib
libedit-dev      pc:libedit
postgresql       file:/usr/lib/postgresql/15/bin/postgres
'

present() {
    case $1 in
    cmd:*) command -v "${1#*:}" >/dev/null ;;
    pc:*) pkg-config --exists "${1#*:}" 2>/dev/null ;;
    py:*) python3 -c "import ${1#*:}" 2>/dev/null ;;
    file:*) [ -e "${1#*:}" ] ;;
    esac
}

system_packages() {
    local missing=() package probe as_root=()
    while read -r package probe; do
        [ -z "$package" ] || present "$probe" || missing+=("$package")
    done <<<"$needed"
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null ||
        die "missing: ${missing[*]} (names of Debian 12); install them and run make setup again"
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null ||
            die "missing: ${missing[*]}; as root run: apt-get install ${missing[*]}"
        as_root=(sudo)
    fi
    say "installing ${missing[*]}"
    "${as_root[@]}" apt-get update -qq
    # The tests start a server of their own: none is wanted that runs by itself.
    if [[ " ${missing[*]} " == *" postgresql "* ]]; then
        "${as_root[@]}" mkdir -p /etc/postgresql-common
        echo 'create_main_cluster = false' |
            "${as_root[@]}" tee /etc/postgresql-common/createcluster.conf >/dev/null
    fi
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends -o Dpkg::Options::=--force-confold \
        "${missing[@]}" >"$deps/apt.log" 2>&1 ||
        { tail -n 5 "$deps/apt.log" >&2; die "apt-get failed; all it said is in $deps/apt.log"; }
}

# The lines of one kind of tools/pins.txt as requirements for pip, each with its hash.
requirements() {
    awk -v kind="$1" '$1 == kind { printf "%s==%s --hash=sha256:%s\n", $2, $3, $4 }' tools/pins.txt
}

python_environment() {
    local kind=$1 stamp
    stamp=$deps/stamp-$kind
    requirements "$kind" >"$deps/requirements-$kind.txt"
    cmp -s "$deps/requirements-$kind.txt" "$stamp" && return 0
    [ "$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')" = 3.11 ] ||
        die "the tests' Python packages are pinned for Python 3.11 of Debian 12; python3 is another"
    [ -x "$deps/venv/bin/python" ] || python3 -m venv "$deps/venv"
    say "Python packages for the tests ($(wc -l <"$deps/requirements-$kind.txt") pinned wheels)"
    "$deps/venv/bin/pip" --quiet --disable-pip-version-check install --no-deps --require-hashes \
        --only-binary :all: --requirement "$deps/requirements-$kind.txt"
    cp "$deps/requirements-$kind.txt" "$stamp"
}

# What the tests run beside the environment, in a folder of its own over it: two versions of one
# client, and a peer that brings much along.
python_folder() {
    local kind=$1 stamp
    stamp=$deps/stamp-$kind
    requirements "$kind" >"$deps/requirements-$kind.txt"
    cmp -s "$deps/requirements-$kind.txt" "$stamp" && [ -d "$deps/$kind" ] && return 0
    say "$kind for the tests ($(wc -l <"$deps/requirements-$kind.txt") pinned wheels)"
    rm -rf "${deps:?}/$kind"
    "$deps/venv/bin/pip" --quiet --disable-pip-version-check install --no-deps --require-hashes \
        --only-binary :all: --target "$deps/$kind" --requirement "$deps/requirements-$kind.txt"
    cp "$deps/requirements-$kind.txt" "$stamp"
}

pinned_files() {
    local stamp=$deps/stamp-files now
    now=$(cat tools/pins.txt tools/fetch_pins.py tools/prepare_data.py \
        subprojects/packagefiles/*/meson.build | sha256sum)
    [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$now" ] && [ -f subprojects/yyjson/meson.build ] &&
        [ -f subprojects/llhttp/meson.build ] && [ -f "$deps/data/flights.csv" ] && return 0
    say "pinned files: C libraries, DuckDB, data sets, models"
    "$deps/venv/bin/python" tools/fetch_pins.py
    "$deps/venv/bin/python" tools/prepare_data.py
    printf '%s\n' "$now" >"$stamp"
}

# llama.cpp, compiled for this machine by what `python_environment bench` installed.
compiled_peers() {
    local stamp=$deps/stamp-source
    requirements source >"$deps/requirements-source.txt"
    cmp -s "$deps/requirements-source.txt" "$stamp" && return 0
    say "compiling the peers that come as source packages: minutes"
    "$deps/venv/bin/pip" --quiet --disable-pip-version-check install --no-deps --require-hashes \
        --no-binary :all: --no-build-isolation --requirement "$deps/requirements-source.txt"
    cp "$deps/requirements-source.txt" "$stamp"
}

# Google's model: fetched on request only.
gemma() {
    if [ "${TAPEOUT_BENCH_GEMMA-}" != 1 ]; then
        say "Gemma is passed over. Its use is under Google's terms, https://ai.google.dev/gemma/terms;"
        say "whoever takes them sets TAPEOUT_BENCH_GEMMA=1, and it is fetched"
        return 0
    fi
    "$deps/venv/bin/python" tools/fetch_pins.py --gemma
    say "Gemma's terms, which hold for its use, are in $deps/models/GEMMA_TERMS.html"
}

if [ "${1-}" = --bench ]; then
    needed="$needed
cmake            cmd:cmake"
fi
system_packages
python_environment test
python_folder mlflow3
python_folder mlflow2
python_folder oms
python_folder moto
pinned_files
if [ "${1-}" = --bench ]; then
    python_environment bench
    compiled_peers
    gemma
fi
