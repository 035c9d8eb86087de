# The same data, spec and seed give the same model: its metrics are golden, on every machine.
python3 "$SOURCE/tests/cli/make_data.py" 600 >data.csv
cat >spec.yaml <<'END'
name: sold
data: {train: data.csv, split: {by: random, test: 0.25}}
target: {column: sold, positive: "yes"}
features: |
  size  = size
  color = category(color, min_count = 5)
  month = month(day)
model: {learner: gbt, trees: 20, leaves: 7}
END
tapeout train spec.yaml --json --threads 2 | python3 -c '
import json, sys
made = json.load(sys.stdin)
print(made["name"], made["rows_train"], made["rows_test"])
for name in sorted(made["metrics"]):
    print(name, made["metrics"][name])'
