# What a language model takes, before it is loaded: the parts make up the whole, what fits is
# searched for, and what does not is refused with figures.
cd "$SOURCE/tests/conformance/llm_tiny"
tapeout doctor ./gemma3-q4_0.gguf --threads 2 --memory 1000000000 | sed 's/ of [0-9]* MiB/ of ALL/'
tapeout doctor ./llama-q4_1.gguf --threads 2 --running 3 --json | python3 -c '
import json, sys
found = json.load(sys.stdin)
plan = found["plan"]
parts = ("weights", "tables", "workspace", "cache", "process")
assert plan["total_bytes"] == sum(plan[part + "_bytes"] for part in parts)
assert found["memory"]["limit_bytes"] == found["memory"]["available_bytes"]
print(found["architecture"], found["fits"], plan["running"], plan["threads"], plan["context"],
      [cache["type"] for cache in found["caches"]])'
tapeout doctor ./bert-q8_0.gguf --json | python3 -c '
import json, sys
found = json.load(sys.stdin)
print(found["plan"]["cache_bytes"], found["caches"])'
tapeout doctor ./llama-q4_1.gguf --memory 1000 >/dev/null || echo $?
tapeout doctor ./llama-q4_1.gguf --context 100000 || echo $?
tapeout doctor ./llama-q4_1.gguf --kv-q8 || echo $?
tapeout doctor ./README.md || echo $?
tapeout doctor ./missing.gguf || echo $?
tapeout doctor ./llama-q4_1.gguf --memory much || echo $?
