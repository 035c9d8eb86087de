# An output that cannot be written is found out before training; nothing is registered.
python3 "$SOURCE/tests/cli/make_data.py" 300 >data.csv
cat >spec.yaml <<END
name: m
data: {train: data.csv}
target: {column: sold}
features: "size = size"
END
for out in . nowhere/m.tapeout data.csv/m.tapeout; do
    tapeout train spec.yaml --out $out && echo "$out was written"
done
tapeout train spec.yaml --home data.csv && echo "a file was a home"
tapeout list --json
tapeout predict nowhere/m.tapeout data.csv --out .
