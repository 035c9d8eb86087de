# Fewer rows than a leaf holds; then fewer than two leaves hold, which is said but no failure.
python3 "$SOURCE/tests/cli/make_data.py" 300 >data.csv
cat >spec.yaml <<END
name: m
data: {train: few.csv}
target: {column: price}
task: regression
features: "size = size"
END
head -n 40 data.csv >few.csv
tapeout train spec.yaml --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["notes"], end="")'
head -n 12 data.csv >few.csv
tapeout train spec.yaml
