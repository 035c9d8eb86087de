# A conversation over a pipe: commands, answers as JSON lines, the same course for the same seed.
# The tiny models have no chat template, so one is written into a copy's metadata.
python3 - "$SOURCE/tests/conformance/llm_tiny/llama-q4_1.gguf" <<'END'
import struct, sys
data = open(sys.argv[1], "rb").read()
# A GGUF file: magic, version, tensors, keys; a key more in front of the others, and padding so that
# the data stays aligned.
magic, version, tensors, keys = struct.unpack("<4sIQQ", data[:24])
text = lambda value: struct.pack("<Q", len(value)) + value
template = (b"{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
            b"{% if add_generation_prompt %}assistant: {% endif %}")
template += b"{# " + b"x" * 64
added = lambda: text(b"tokenizer.chat_template") + struct.pack("<I", 8) + text(template + b" #}")
while len(added()) % 32:
    template += b"x"
open("talker.gguf", "wb").write(struct.pack("<4sIQQ", magic, version, tensors, keys + 1) + added() +
                                data[24:])
END
cat >show.py <<'PY'
import json, sys
for line in sys.stdin:
    answer = json.loads(line)
    print(len(answer["ids"]), answer["finish_reason"], answer["usage"]["prompt_tokens"],
          answer["usage"]["cached_tokens"])
PY
printf 'hello\nhow are you?\n/clear\nhello\n/bye\nnot reached\n' >lines.txt
tapeout chat ./talker.gguf --json --max-tokens 5 <lines.txt >first.txt
python3 show.py <first.txt
tapeout chat ./talker.gguf --json --max-tokens 5 --threads 7 <lines.txt >second.txt
python3 -c '
import json
ids = lambda name: [json.loads(line)["ids"] for line in open(name)]
print(ids("first.txt") == ids("second.txt"), ids("first.txt")[0] == ids("first.txt")[2])'
# What one turn says is what generate says to the same messages.
tapeout generate ./talker.gguf --prompt hello --max-tokens 5 --temperature 0.7 --top-p 0.95 --json >one.txt
python3 -c '
import json
print(json.load(open("one.txt"))["ids"] == json.loads(open("first.txt").readline())["ids"])'
printf '/help\n/set temperature 0\n/set nonsense 3\n/unknown\n' | tapeout chat ./talker.gguf
