# A failed gate: the JSON comes and the status is 1; the version is there by its number, not by its
# bare name; a version that passes takes the name back.
python3 "$SOURCE/tests/cli/make_data.py" 300 >data.csv
cat >bad.yaml <<END
name: m
data: {train: data.csv}
target: {column: sold, positive: "yes"}
features: "size = size"
model: {trees: 3}
gates: {auc: ">= 0.1", accuracy: ">= 1.5"}
END
tapeout train bad.yaml --json >out.json 2>err.txt && echo "the gate let it pass"
sed 's/, got .*//' err.txt
python3 -c 'import json; print([(g["name"], g["passed"]) for g in json.load(open("out.json"))["gates"]])'
tapeout train bad.yaml 2>/dev/null && echo "the gate let it pass"
tapeout predict m data.csv 2>&1 | cut -d. -f1
tapeout predict m:1 data.csv | wc -l
grep -v ^gates bad.yaml >good.yaml
tapeout train good.yaml --json 2>/dev/null | python3 -c 'import json, sys; print(json.load(sys.stdin)["version"])'
tapeout predict m data.csv | wc -l
tapeout predict n data.csv
