# Log-probabilities of given tokens, a line a place; the last speaks of what would come.
tiny=$SOURCE/tests/conformance/llm_tiny/llama-q4_1.gguf
echo '[70, 71, 72]' >ids.json
tapeout score "$tiny" --ids ids.json --top 2 | python3 -c '
import json, sys
for line in sys.stdin:
    place = json.loads(line)
    print(place["pos"], place["id"], place["logprob"] is None, len(place["top"]),
          place["top"] == sorted(place["top"], key=lambda one: (-one[1], one[0])))'
tapeout score "$tiny" --ids ids.json >one.txt
tapeout score "$tiny" --ids - --json --threads 7 <ids.json >two.txt
cmp one.txt two.txt
TAPEOUT_CPU=ref tapeout score "$tiny" --ids ids.json | cmp one.txt
# All of the vocabulary, and that it sums to one.
tapeout score "$tiny" --ids ids.json --top 288 | python3 -c '
import json, math, sys
for line in sys.stdin:
    print(round(sum(math.exp(logprob) for _, logprob in json.loads(line)["top"]), 9))'
