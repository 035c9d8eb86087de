# Vectors of length one, for --text or for lines of standard input; alone or in a row the same.
tiny=$SOURCE/tests/conformance/llm_tiny/bert-q8_0.gguf
cat >show.py <<'PY'
import json, sys
made = json.load(sys.stdin)
print(made["width"], made["tokens"], len(made["embeddings"]),
      [round(sum(x * x for x in vector), 5) for vector in made["embeddings"]])
PY
tapeout embed "$tiny" --text 'the and' --text anders --json | tee two.json | python3 show.py
printf 'the and\nanders\n' | tapeout embed "$tiny" --json | cmp - two.json
tapeout embed "$tiny" --text anders --json >one.json
python3 -c '
import json
one, two = json.load(open("one.json")), json.load(open("two.json"))
print(one["embeddings"][0] == two["embeddings"][1])'
