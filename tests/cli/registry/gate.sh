# What becomes prod: a policy, evidence, people's signatures, and the way back.
python3 "$SOURCE/tests/cli/make_data.py" 400 >data.csv
cat >spec.yaml <<'YAML'
name: sold
data: {train: data.csv}
target: {column: sold}
features: "size = size"
model: {learner: linear}
licence: MIT
YAML
for seed in 1 2; do tapeout train spec.yaml --seed $seed --quiet >made 2>&1; done

show() {
    python3 -c '
import json, sys
for line in sys.stdin:
    got = json.loads(line)
    print(got["model"], got["version"], got["alias"], "from", got["from"], "passed", got.get("passed"),
          [(check["name"], check["passed"]) for check in got.get("checks", [])])'
}
fails() { if "$@"; then echo "it did not fail: $*"; fi; }

tapeout promote sold:1 prod --json | show
echo 'licences: [Apache-2.0]' >policy.yaml
tapeout policy set policy.yaml --by ann >/dev/null
fails tapeout promote sold:2 prod --json >refused
show <refused
cat >policy.yaml <<'YAML'
licences: [Apache-2.0, MIT]
size_mb: 1
signatures: 2
export: {classification: [EAR99], screening: [denied.txt]}
YAML
echo Initech >denied.txt
fails tapeout policy set missing.yaml
echo 'licence: MIT' >wrong.yaml
fails tapeout policy set wrong.yaml
tapeout policy set policy.yaml --by ann >/dev/null
for person in ann bob; do
    tapeout keys new $person --person $person --no-passphrase >/dev/null
    tapeout trust add $person >/dev/null
    tapeout sign sold:2 --key $person >/dev/null
done
fails tapeout promote sold:2 prod --json >refused
show <refused
tapeout promote sold:1 staging
fails tapeout rollback sold staging
tapeout rollback sold prod --json 2>&1 | sed 's/tapeout rollback: //' || true
