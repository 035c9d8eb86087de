python3 "$SOURCE/tests/cli/make_data.py" 60 >data.csv
cat >spec.yaml <<'END'
name: sold
data: {train: data.csv}
target: {column: sold}
modle: {learner: gbt}
END
tapeout train spec.yaml
