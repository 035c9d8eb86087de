# Text of a tiny model: the same by file and by bundle, with a prompt on stdin, with and without
# --json; constrained answers follow what they were given. The texts are noise: the weights are.
tiny=$SOURCE/tests/conformance/llm_tiny/llama-q4_1.gguf
cat >show.py <<'PY'
import json, sys
answer = json.load(sys.stdin)
print(answer["ids"], answer["finish_reason"], answer["usage"])
PY
tapeout generate "$tiny" --raw --prompt 'hello' --max-tokens 6 --json | python3 show.py
printf 'hello' | tapeout generate "$tiny" --raw --max-tokens 6 --json | python3 show.py
printf 'hello' | tapeout generate "$tiny" --raw --prompt - --max-tokens 6 --json --threads 7 |
    python3 show.py
tapeout import "$tiny" --name tiny >/dev/null
tapeout generate tiny --raw --prompt 'hello' --max-tokens 6 --json | python3 show.py
# Drawn: the seed decides, and nothing else.
for seed in 1 1 2; do
    tapeout generate tiny --raw --prompt 'hello' --max-tokens 6 --temperature 0.8 --seed $seed --json |
        python3 show.py
done
# To the end of the context.
tapeout generate tiny --raw --prompt 'hello' --context 12 --temperature 1 --seed 3 --json |
    python3 show.py
# Constrained.
cat >schema.json <<'SCHEMA'
{"type": "object", "properties": {"ok": {"type": "boolean"}, "n": {"enum": [1, 22, 333]}},
 "required": ["ok", "n"], "additionalProperties": false}
SCHEMA
tapeout generate tiny --raw --prompt 'x' --json-schema schema.json --max-tokens 100 --json >answer.json
python3 -c '
import json
answer = json.load(open("answer.json"))
value = json.loads(answer["text"])
print(sorted(value), type(value["ok"]).__name__, value["n"] in (1, 22, 333), answer["finish_reason"])'
printf 'root ::= ("a" | "bc")+ "." "!"\n' >grammar.gbnf
tapeout generate tiny --raw --prompt 'x' --grammar grammar.gbnf --max-tokens 100 \
    --temperature 2 --seed 5 | grep -Ex '(a|bc)+\.!' | wc -l
tapeout generate tiny --raw --prompt 'x' --regex '[0-9]{4}-[01][0-9]' --max-tokens 100 |
    grep -Ex '[0-9]{4}-[01][0-9]' | wc -l
