# SPDX-License-Identifier: Apache-2.0
#
# What the demos share. Every command is printed before it runs, so that the same can be typed by
# hand. Registry and bundles go to build/demo; a server listens on a free port of loopback and is
# stopped at the end. Sourced from the checkout's root.
work=build/demo
export TAPEOUT_HOME=$work/home PATH=$PWD/build:$PATH
server=
url=

step() { printf '\n\033[1m%s\033[0m\n' "$1"; }
[ -t 1 ] || step() { printf '\n%s\n' "$1"; }

run() {
    local line='$' word
    for word in "$@"; do
        case $word in *[[:space:]]*) line+=" \"$word\"" ;; *) line+=" $word" ;; esac
    done
    printf '%s\n' "$line"
    "$@"
}

stop_server() {
    [ -n "$server" ] || return 0
    kill "$server" 2>/dev/null && wait "$server" || true
    server=
}
trap stop_server EXIT

# The text under a key of the JSON object on standard input.
json_text() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }

# start_server MODEL FLAGS...: sets `url` once it answers.
start_server() {
    echo "$ tapeout serve $* --listen 127.0.0.1:0 &"
    rm -f "$work/serve.log" # of a server before, with another port
    tapeout serve "$@" --listen 127.0.0.1:0 >"$work/serve.out" 2>"$work/serve.log" &
    server=$!
    url=
    for _ in $(seq 100); do
        url=$(sed -n 's/.*"event":"listening".*"url":"\([^"]*\)".*/\1/p' "$work/serve.log" | head -n 1)
        [ -z "$url" ] || return 0
        kill -0 $server 2>/dev/null || { cat "$work/serve.log" >&2; exit 1; }
        sleep 0.1
    done
    echo "demo: error: the server did not say where it listens" >&2
    exit 1
}
