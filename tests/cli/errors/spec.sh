# What is misspelt in a spec is named with its place and the nearest right name.
python3 "$SOURCE/tests/cli/make_data.py" 300 >data.csv
try() {
    cat >spec.yaml
    tapeout train spec.yaml && echo "that was accepted"
    return 0
}
try <<END
name: m
data: {train: data.csv}
target: {column: sould}
features: "size = size"
END
try <<END
name: m
data: {train: data.csv}
target: {column: sold}
features: "size = siez"
END
try <<END
name: m
data: {train: data.csv}
target: {column: sold}
features: "size = size"
model: {tres: 4}
END
try <<END
name: m
data: {train: data.csv}
target: {column: sold}
features: "size = size"
gates: {acu: ">= 0.4"}
END
try <<END
name: m
data: {train: data.csv, split: {by: time, column: dya, test: 0.2}}
target: {column: sold}
features: "size = size"
END
try <<END
name: m
data: {train: data.csv}
target: {column: sold, positive: maybe}
features: "size = size"
END
tapeout train nowhere.yaml
