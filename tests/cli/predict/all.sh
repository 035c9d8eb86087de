# Batch, standard input, kept columns, explanations and JSON lines of one small model.
python3 "$SOURCE/tests/cli/make_data.py" 600 >data.csv
cat >spec.yaml <<'END'
name: sold
data: {train: data.csv}
target: {column: sold, positive: "yes"}
features: |
  size  = size
  color = category(color, min_count = 5)
model: {learner: gbt, trees: 10, leaves: 5}
END
tapeout train spec.yaml --out sold.tapeout >train.out 2>train.err
head -n 9 data.csv >some.csv
tapeout predict ./sold.tapeout some.csv
tapeout predict ./sold.tapeout - <some.csv
tapeout predict ./sold.tapeout some.csv --keep id,color
tapeout predict sold some.csv --explain
tapeout predict sold some.csv --json
tapeout predict sold some.csv --out answer.csv
cmp answer.csv - <<END
$(tapeout predict sold some.csv)
END
tapeout evaluate sold data.csv --json
