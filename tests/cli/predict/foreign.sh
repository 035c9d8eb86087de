# Model files of other programs are scored by their path: imported on the way, the same numbers as
# of the imported bundle, told to be unsigned, and nothing left behind, neither registered nor
# lying about.
seeds="$SOURCE/tests/fuzz/corpus"
cp "$seeds/xgboost/binary.ubj" a.ubj
cp "$seeds/xgboost/binary.json" b.json
cp "$seeds/lightgbm/binary.txt" "c model.txt"
cp "$SOURCE/tests/conformance/onnx/line.onnx" d.onnx
mkdir tmp
export TMPDIR="$PWD/tmp"
{
    echo f0,f1,f2,f3,f4,f5,Column_0,Column_1,Column_2,Column_3,Column_4,Column_5,target
    echo 0.5,1,2,3,4,5,-0.001,1,2,3,4,5,1
    echo -0.5,0,,3,-4,5,0.004,2,,3,-4,5,0
    echo ,,,,,,,,,,,,1
} >rows.csv
for model in ./a.ubj b.json "c model.txt"; do
    echo "$model"
    tapeout predict "$model" rows.csv --quiet
    tapeout inspect "$model" | grep -v "^  \|^sha256" | head -4
    tapeout evaluate "$model" rows.csv | head -1
done
tapeout predict d.onnx "$SOURCE/tests/conformance/onnx/line.csv" --quiet | head -3
tapeout predict a.ubj rows.csv --explain --keep target --quiet | head -2
ls tmp "$TAPEOUT_HOME" 2>/dev/null | wc -l

# One import is as good as the other.
tapeout inspect a.ubj --json >way.json
tapeout import a.ubj --json >import.json
grep -o '"sha256": *"[0-9a-f]*"' way.json | head -1 | tr -d ' ' >way
grep -o '"sha256": *"[0-9a-f]*"' import.json | head -1 | tr -d ' ' | cmp way -
tapeout predict a rows.csv --quiet >bundle.csv
tapeout predict a.ubj rows.csv --quiet | cmp bundle.csv -

# What is none of them says so.
cp "$SOURCE/tests/conformance/llm_tiny/llama-q4_1.gguf" e.gguf
printf '\200\005\225.' >f.pkl
head -c 2000 a.ubj >g.ubj
for model in e.gguf f.pkl g.ubj nothing.onnx ./nothing.onnx rows.csv tmp; do
    for verb in predict evaluate; do
        tapeout $verb $model rows.csv && exit 1 || echo $?
    done
done
ls tmp | wc -l
