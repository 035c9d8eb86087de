# Versions are counted per name; what is removed is gone and its number is not used again.
tapeout list --json
python3 "$SOURCE/tests/cli/make_data.py" 100 >data.csv
cat >spec.yaml <<'END'
name: sold
data: {train: data.csv}
target: {column: sold}
features: "size = size"
model: {learner: linear}
END
for round in 1 2; do
    tapeout train spec.yaml --json 2>/dev/null |
        python3 -c 'import json, sys; made = json.load(sys.stdin); print(made["name"], made["version"])'
done
tapeout rm sold:2
tapeout train spec.yaml --json 2>/dev/null |
    python3 -c 'import json, sys; made = json.load(sys.stdin); print(made["name"], made["version"])'
tapeout list --json | python3 -c '
import json, sys
print([(model["name"], [made["version"] for made in model["versions"]])
       for model in json.load(sys.stdin)["models"]])'
tapeout rm sold:9
