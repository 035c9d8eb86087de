# A small vocabulary's ids, as JSON and for people; what is no model of language is refused.
python3 - "$SOURCE/tests/fuzz/corpus/tokenizer/bpe_long" <<'END'
import sys
data = open(sys.argv[1], "rb").read()
open("m.gguf", "wb").write(data[2 + int.from_bytes(data[:2], "little"):])
END
printf 'hello wor<|im_end|>\n' | tapeout tokenize ./m.gguf --json
printf 'hello wor<|im_end|>\n' | tapeout tokenize ./m.gguf --special --bos
printf '' | tapeout tokenize ./m.gguf --json
printf 'GGUF' >broken.gguf
tapeout tokenize ./broken.gguf </dev/null
