# A split that leaves no test rows.
python3 "$SOURCE/tests/cli/make_data.py" 300 >data.csv
head -n 4 data.csv >few.csv
cat >spec.yaml <<END
name: m
data: {train: few.csv, split: {by: random, test: 0.01}}
target: {column: price}
task: regression
features: "size = size"
END
tapeout train spec.yaml
