# A column without any value: auto leaves it out and says so; a program that takes it for a number
# is told why it is none.
python3 "$SOURCE/tests/cli/make_data.py" 300 >data.csv
sed '1s/^/void,/; 2,$s/^/,/' data.csv >void.csv
cat >spec.yaml <<END
name: m
data: {train: void.csv}
target: {column: sold, positive: "yes"}
features: auto
model: {trees: 3}
END
tapeout train spec.yaml --json 2>/dev/null |
    python3 -c 'import json, sys; print(*[n for n in json.load(sys.stdin)["notes"].split("\n") if "void" in n])'
sed 's/^features: auto/features: "v = impute(void, median)"/' spec.yaml >program.yaml
tapeout train program.yaml
