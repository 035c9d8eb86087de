# The JSON comes, the figure is named, the status is 1 and the version is marked as refused.
python3 "$SOURCE/tests/cli/make_data.py" 600 >data.csv
cat >spec.yaml <<'END'
name: sold
data: {train: data.csv}
target: {column: sold, positive: "yes"}
features: "size = size"
gates: {auc: ">= 1.5"}
END
status=0
tapeout train spec.yaml --json >out.json || status=$?
python3 -c '
import json
made = json.load(open("out.json"))
print([(gate["name"], gate["want"], gate["passed"]) for gate in made["gates"]])'
exit $status
