#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The whole way, from CSV to an HTTP answer, on the flights of 2013.
set -euo pipefail
cd "$(dirname "$0")/../.."
. examples/lib.sh
here=examples/flights

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
start_server flight-delay --no-auth
run cat $here/record.json
run curl --silent --fail-with-body -H 'Content-Type: application/json' \
    --data-binary @$here/record.json "$url/score"
echo

step "5. Stop"
stop_server
echo "The server ended well. The bundle and the registry are in $work; serve it again with:"
echo "  TAPEOUT_HOME=$work/home build/tapeout serve flight-delay --no-auth"
