# A target with one class says so and what to look at; nothing is registered.
python3 "$SOURCE/tests/cli/make_data.py" 300 >data.csv
awk -F, 'NR == 1 || $NF == "no"' data.csv >one.csv
cat >spec.yaml <<END
name: m
data: {train: one.csv}
target: {column: sold}
features: "size = size"
END
status=0
tapeout train spec.yaml --json || status=$?
tapeout list --json
exit $status
