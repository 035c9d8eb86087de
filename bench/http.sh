#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# HTTP predictions a second of one server thread: a raw record to /score and tensors to /v2 over
# keep-alive connections, the client (wrk) on another processor than the server. Beside the rate stand
# the processor's microseconds a request, which say the same on a busy machine.
#
#   bench/http.sh MODEL RECORD.json [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -ge 2 ] || { echo "bench/http.sh: usage: bench/http.sh MODEL RECORD.json [SECONDS]" >&2; exit 2; }
model=$1 record=$2 seconds=${3:-5}
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$work"' EXIT

taskset -c 0 build/tapeout serve "$model" --no-auth --threads 1 --listen 127.0.0.1:0 2>"$work/log" &
server=$!
url=
for _ in $(seq 100); do
    url=$(sed -n 's/.*"event":"listening".*"url":"\([^"]*\)".*/\1/p' "$work/log" | head -n 1)
    [ -z "$url" ] || break
    kill -0 $server 2>/dev/null || { cat "$work/log" >&2; exit 1; }
    sleep 0.1
done

# The record as tensors of one row, by the datatypes that the model states.
name=$(curl -s "$url/v1/models" | sed 's/.*\["\([^"]*\)".*/\1/')
curl -s "$url/v2/models/$name" >"$work/model.json"
python3 - "$work/model.json" "$record" >"$work/tensors.json" <<'PY'
import json
import sys
model, record = (json.load(open(path, encoding="utf-8")) for path in sys.argv[1:3])
print(json.dumps({"inputs": [
    {"name": c["name"], "shape": [1], "datatype": c["datatype"], "data": [record[c["name"]]]}
    for c in model["inputs"] if c["name"] in record]}))
PY

ticks() { awk '{ print $14 + $15 }' "/proc/$server/stat"; }
ask() { # title, path, body
    printf 'wrk.method = "POST"\nwrk.body = io.open("%s"):read("*a")\n' "$3" >"$work/ask.lua"
    local before after requests rate
    before=$(ticks)
    taskset -c 1 wrk -t1 -c32 -d"${seconds}s" -s "$work/ask.lua" "$url$2" >"$work/out"
    after=$(ticks)
    requests=$(awk '/requests in/ { print $1 }' "$work/out")
    rate=$(awk '/Requests\/sec/ { print $2 }' "$work/out")
    grep -q Non-2xx "$work/out" && { cat "$work/out" >&2; exit 1; }
    awk -v t="$1" -v r="$rate" -v n="$requests" -v d=$((after - before)) -v hz="$(getconf CLK_TCK)" \
        'BEGIN { printf "%s,%.0f,%.1f\n", t, r, d / hz * 1e6 / n }'
}

echo "request,per_second,cpu_us_each"
ask score /score "$record"
ask infer "/v2/models/$name/infer" "$work/tensors.json"
awk '/VmRSS/ { printf "resident_kb,%s,\n", $2 }' "/proc/$server/status"
