#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The whole way, from CSV to an HTTP answer, on the flights of 2013. Every command is printed before
# it runs, so that the same can be typed by hand. Registry and bundle go to build/demo, which is
# emptied first; the server listens on a free port of loopback and is stopped at the end.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=examples/flights
work=build/demo
export TAPEOUT_HOME=$work/home PATH=$PWD/build:$PATH
server=

step() { printf '\n\033[1m%s\033[0m\n' "$1"; }
[ -t 1 ] || step() { printf '\n%s\n' "$1"; }
run() { printf '$ %s\n' "$*" && "$@"; }
stop() { [ -z "$server" ] || { kill "$server" 2>/dev/null && wait "$server" || true; }; }
trap stop EXIT

rm -rf $work
mkdir -p $work

step "1. The data: 336,776 flights and the weather, as CSV"
for name in flights weather; do
    cmp -s ".deps/data/$name.csv" "$here/$name.csv" || cp ".deps/data/$name.csv" "$here/"
done
run wc -l $here/flights.csv $here/weather.csv
run tapeout profile $here/weather.csv

step "2. Train: SQL join, features, boosted trees, a test on later flights, the bundle"
run tapeout train $here/flights.yaml

step "3. What was made"
run tapeout list
run tapeout inspect flight-delay

step "4. Serve it, and send it a raw record as a person would write it"
echo '$ tapeout serve flight-delay --no-auth --listen 127.0.0.1:0 &'
tapeout serve flight-delay --no-auth --listen 127.0.0.1:0 >$work/serve.out 2>$work/serve.log &
server=$!
url=
for _ in $(seq 100); do
    url=$(sed -n 's/.*"event":"listening".*"url":"\([^"]*\)".*/\1/p' $work/serve.log | head -n 1)
    [ -z "$url" ] || break
    kill -0 $server 2>/dev/null || { cat $work/serve.log >&2; exit 1; }
    sleep 0.1
done
[ -n "$url" ] || { echo "demo: error: the server did not say where it listens" >&2; exit 1; }
run cat $here/record.json
run curl --silent --fail-with-body -H 'Content-Type: application/json' \
    --data-binary @$here/record.json "$url/score"
echo

step "5. Stop"
kill $server && wait $server
server=
echo "The server ended well. The bundle and the registry are in $work; serve it again with:"
echo "  TAPEOUT_HOME=$work/home build/tapeout serve flight-delay --no-auth"
