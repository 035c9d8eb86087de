# A column that is asked for by name and not there: one to keep, and the target of evaluate.
python3 "$SOURCE/tests/cli/make_data.py" 300 >data.csv
cat >spec.yaml <<END
name: m
data: {train: data.csv}
target: {column: sold, positive: "yes"}
features: "size = size"
model: {trees: 3}
END
tapeout train spec.yaml --out m.tapeout >train.out 2>train.err
printf 'size\n1\n' >bare.csv
tapeout predict ./m.tapeout bare.csv --keep size,colour || echo "exit $?"
tapeout evaluate ./m.tapeout bare.csv
