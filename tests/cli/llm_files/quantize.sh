# Another type of weights; what does not fit the type says so; the same file with any threads.
tiny=$SOURCE/tests/conformance/llm_tiny
for type in Q8_0 Q4_0 Q4_K Q6_K F16; do
    tapeout quantize "$tiny/llama-f32.gguf" --type $type --out out.gguf --json
done
tapeout quantize "$tiny/llama-k_mixed.gguf" --type Q4_K --output Q6_K --out a.gguf --threads 1
tapeout quantize "$tiny/llama-k_mixed.gguf" --type Q4_K --output Q6_K --out b.gguf --threads 3
cmp a.gguf b.gguf
tapeout inspect ./a.gguf --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["tensor_types"])'
tapeout quantize "$tiny/llama-f32.gguf" --type Q4_K --out out.gguf
tapeout quantize "$tiny/llama-f32.gguf" --type Q2_K --out none.gguf 2>&1 || true
test ! -e none.gguf
tapeout quantize "$tiny/llama-f32.gguf" --type Q4_0 2>&1 || true
