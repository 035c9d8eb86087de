# A GGUF model becomes a bundle that is registered, is what the file was, and is the same each time.
tiny=$SOURCE/tests/conformance/llm_tiny
tapeout import "$tiny/llama-q4_1.gguf" --json | python3 -c '
import json, sys
made = json.load(sys.stdin)
print(made["name"], made["version"], made["kind"], made["architecture"])'
tapeout import "$tiny/llama-q4_1.gguf" --name again --out again.tapeout >/dev/null
cat >facts.py <<'PY'
import json, sys
facts = json.load(sys.stdin)
for key in ("kind", "name", "architecture", "parameters", "tensor_types", "context_length",
            "tokenizer", "remark"):
    print(key, facts.get(key))
PY
tapeout inspect llama-q4_1 --json | python3 facts.py
tapeout inspect ./again.tapeout --json | python3 facts.py | sed -n 1,2p
tapeout inspect "$tiny/phi3-q8_0.gguf" --json | python3 facts.py
tapeout import "$tiny/llama-q4_1.gguf" --json >first.json
tapeout import "$tiny/llama-q4_1.gguf" --json --threads 3 >second.json
python3 -c '
import json
first, second = json.load(open("first.json")), json.load(open("second.json"))
print(first["sha256"] == second["sha256"], first["version"], second["version"])'
