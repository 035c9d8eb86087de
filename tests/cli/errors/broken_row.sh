# The broken row of a training file is named by file, line and column.
printf 'a,b,y\n1,2,0\n3\n' >data.csv
cat >spec.yaml <<END
name: m
data: {train: data.csv}
target: {column: y}
features: "a = a"
END
tapeout train spec.yaml
