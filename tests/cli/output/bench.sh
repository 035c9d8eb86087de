# Measuring works without a peer, which is then said, and leaves no folder behind. What is measured
# is nobody's gate.
mkdir tmp
TMPDIR=$PWD/tmp TAPEOUT_BENCH_PYTHON=/nonexistent tapeout bench csv --rows 2000 --json 2>/dev/null |
    python3 -c '
import json, sys
for row in json.load(sys.stdin)["results"]:
    print(row["bench"], row["of"], row.get("unit"), row.get("value", 0) > 0, row.get("skipped"))'
ls tmp
tapeout bench nothing || echo $?
