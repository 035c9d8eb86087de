# The report holds together; a home that cannot be one is broken, TAPEOUT_CPU is obeyed, and a name
# that is none stops every command.
read_it() { python3 -c '
import json, sys
found = json.load(sys.stdin)
checks = {check["name"]: check["state"] for check in found["checks"]}
print(found["ok"], sorted(checks), checks["home"], checks["registry"], found["cpu"]["in_use"] in found["cpu"]["variants"])
assert found["processors"] >= 1 and found["threads"] == 3
assert found["memory"]["total_bytes"] >= found["memory"]["available_bytes"] > 0'; }
tapeout doctor --json --threads 3 | read_it
echo text >file
tapeout doctor --json --threads 3 --home file 2>/dev/null | read_it
tapeout doctor --home file >/dev/null || echo $?
TAPEOUT_CPU=ref tapeout version --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["cpu"]["in_use"])'
tapeout doctor | grep -c '^\(ok\|missing\) '
TAPEOUT_CPU=sse9 tapeout doctor || echo $?
