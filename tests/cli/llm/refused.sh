# Mistakes: a sentence and the status, 2 for wrong usage.
try() {
    "$@" 2>&1 >/dev/null | sed "s|$SOURCE/||g"
}
status() {
    "$@" >/dev/null 2>&1 || echo "status $?"
}
cd "$SOURCE/tests/conformance/llm_tiny"
tiny=./llama-q4_1.gguf
try tapeout generate ./missing.gguf --prompt x
try tapeout generate nobody --prompt x
try tapeout generate "$tiny" --prompt x
try tapeout generate ./bert-q8_0.gguf --raw --prompt x
try tapeout generate "$tiny" --raw --prompt ''
try tapeout generate "$tiny" --raw --prompt "$(printf '%0300d' 0)"
printf '\377' | try tapeout generate "$tiny" --raw
try tapeout generate "$tiny" --raw --prompt x --regex a --json-object
try tapeout generate "$tiny" --raw --prompt x --regex '(a'
try tapeout generate "$tiny" --raw --prompt x --grammar /missing/file
try tapeout generate "$tiny" --raw --prompt x --temperature -1
try tapeout generate "$tiny" --raw --prompt x --temperature hot
try tapeout generate "$tiny" --raw --prompt x --top-p 2
try tapeout generate "$tiny" --raw --prompt x --context 100000
try tapeout generate "$tiny" --raw --prompt x --kv-bytes 10
try tapeout generate "$tiny" --raw --prompt x --kv-bytes 10000
try tapeout generate "$tiny" --raw --prompt x --stop ''
for ids in '[]' '[288]' '[-1]' '[1.5]' '["a"]' '{}' '[1' 'null'; do
    echo "$ids" | try tapeout score "$tiny" --ids -
done
try tapeout score "$tiny" --ids /missing/file
echo '[1]' | try tapeout score "$tiny" --ids - --top 1001
echo '[1]' | try tapeout score "$tiny" --ids - --top 289
echo '[1]' | try tapeout score ./bert-q8_0.gguf --ids -
try tapeout embed ./missing.gguf --text x
try tapeout chat ./bert-q8_0.gguf </dev/null
status tapeout generate
status tapeout generate "$tiny" --promt x
status tapeout score "$tiny"
status tapeout generate ./missing.gguf --prompt x
