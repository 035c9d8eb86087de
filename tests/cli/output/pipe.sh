# A reader that has seen enough is no failure to talk about: status 141 and not a word. A full disk
# is one.
python3 -c '
print("a")
for i in range(200000): print(i)' >data.csv
python3 "$SOURCE/tests/cli/make_data.py" 100 >train.csv
cat >spec.yaml <<END
name: m
data: {train: train.csv}
target: {column: price}
features: "size = size"
model: {trees: 2}
END
tapeout train spec.yaml --out m.tapeout >path.txt 2>table.txt
cat path.txt
grep -c rmse table.txt
{ tapeout predict ./m.tapeout data.csv --quiet || echo $? >status; } | head -n 1
cat status
tapeout predict ./m.tapeout data.csv --quiet >/dev/full || echo $?
tapeout train --help >/dev/full || echo $?
tapeout predict ./m.tapeout train.csv --json --out answer.csv
wc -l <answer.csv
