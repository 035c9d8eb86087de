# Columns of the model that the data lacks count as missing, and standard error says so once.
python3 "$SOURCE/tests/cli/make_data.py" 300 >data.csv
cat >spec.yaml <<END
name: m
data: {train: data.csv}
target: {column: sold, positive: "yes"}
features: |
  size = size
  color = category(color)
model: {trees: 3}
END
tapeout train spec.yaml --out m.tapeout >train.out 2>train.err
printf 'size\n1\n' >bare.csv
tapeout predict ./m.tapeout bare.csv --out loud.csv
tapeout predict ./m.tapeout bare.csv --out quiet.csv --quiet
cmp loud.csv quiet.csv
printf 'size,color\n1,never seen\n2,\n' >odd.csv
tapeout predict ./m.tapeout odd.csv --out odd-out.csv
