# What is no model is refused with what it is, and leaves nothing behind.
head -c 30000 "$SOURCE/tests/conformance/llm_tiny/llama-q4_1.gguf" >cut.gguf
for what in cut.gguf "$SOURCE/README.md" nothing.gguf; do
    tapeout import "$what" 2>&1 | sed "s|$SOURCE/||" || true
done
tapeout import "$SOURCE/tests/conformance/llm_tiny/llama-q4_1.gguf" --name "a b" 2>&1 |
    sed "s|$SOURCE/||" || true
ls "$TAPEOUT_HOME" 2>/dev/null | grep -c tapeout || true
