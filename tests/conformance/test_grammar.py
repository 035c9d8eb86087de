# SPDX-License-Identifier: Apache-2.0
"""Constrained output against independent judges.

Random schemas: every text that a random model writes under the mask is valid for `jsonschema`, and
texts that an independent generator writes for the schema are taken token by token. Patterns the
same against `re`; grammars in GBNF against a recogniser of sets. grammar_try, a program of the unit
tests, does our side.
"""
import collections
import json
import os
import random
import re
import subprocess

import pytest

jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not set up: make setup")
ROOT = __import__("pathlib").Path(__file__).resolve().parent.parent.parent
PROGRAM = ROOT / os.environ.get("BUILD", "build") / "tests/unit/llm/grammar/grammar_try"
SCHEMAS = 500
GRAMMARS = 400
PATTERNS = ["^[a-c]{2,4}$", "^x+y?$", "^(ab|cd)*e$", "^[0-9]{3}-[0-9]{2}$"]
PATTERN_TEXTS = {PATTERNS[0]: ["ab", "abc"], PATTERNS[1]: ["x", "xxy"], PATTERNS[2]: ["e", "abcde"],
                 PATTERNS[3]: ["123-45"]}


def ask(requests):
    if not PROGRAM.exists():
        pytest.skip("grammar_try is not built")
    text = "".join(json.dumps(request) + "\n" for request in requests)
    done = subprocess.run([str(PROGRAM)], input=text, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


class Maker:
    """A random schema and, beside it, random values that satisfy it, in one recursion."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.used = collections.Counter()

    def note(self, *keywords):
        self.used.update(keywords)

    def schema(self, depth):
        kinds = [self.string, self.number, self.integer, self.choice, self.constant, self.null]
        if depth > 0:
            kinds += [self.object, self.object, self.array, self.tuple, self.any_of, self.all_of,
                      self.recursive]
        return self.random.choice(kinds)(depth)

    def null(self, depth):
        del depth
        kind = self.random.choice([["null", "boolean"], "boolean", "null"])
        self.note("type array" if isinstance(kind, list) else "type")
        return {"type": kind}, lambda: None if kind != "boolean" else self.random.random() < 0.5

    def string(self, depth):
        del depth
        form = self.random.randrange(4)
        if form == 0:
            pattern = self.random.choice(PATTERNS)
            self.note("pattern")
            return ({"type": "string", "pattern": pattern},
                    lambda: self.random.choice(PATTERN_TEXTS[pattern]))
        if form == 1:
            self.note("format")
            name, text = self.random.choice([
                ("date", "2024-02-29"), ("time", "10:00:59Z"), ("ipv4", "10.0.0.255"),
                ("date-time", "2026-11-25T10:00:00+01:00"), ("email", "a.b@example.com"),
                ("uuid", "123e4567-e89b-12d3-a456-426614174000"), ("ipv6", "fe80::1")])
            return {"type": "string", "format": name}, lambda: text
        low, high = sorted(self.random.choices([0, 1, 2, 5, 40, 300], k=2))
        self.note("minLength", "maxLength")
        letters = "ab é日😀\"\\\n/"
        return ({"type": "string", "minLength": low, "maxLength": high},
                lambda: "".join(self.random.choices(letters, k=self.random.randint(low, high))))

    def integer(self, depth):
        del depth
        low = self.random.choice([-1000, -7, 0, 1, 99])
        high = low + self.random.choice([10, 57, 10000])
        if self.random.random() < 0.5:
            self.note("exclusiveMinimum", "exclusiveMaximum")
            return ({"type": "integer", "exclusiveMinimum": low, "exclusiveMaximum": high},
                    lambda: self.random.randint(low + 1, high - 1))
        step = self.random.choice([1, 2, 3, 7])
        self.note("minimum", "maximum", "multipleOf")
        return ({"type": "integer", "minimum": low, "maximum": high, "multipleOf": step},
                lambda: step * self.random.randint(-(-low // step), high // step))

    def number(self, depth):
        del depth
        low = self.random.choice([-3.5, 0, 0.25, 100])
        high = low + self.random.choice([0.5, 12.75])
        self.note("minimum", "exclusiveMaximum")
        return ({"type": "number", "minimum": low, "exclusiveMaximum": high},
                lambda: low + self.random.choice([0, 0.125, 0.25]))

    def choice(self, depth):
        del depth
        values = self.random.sample(["a", "ab", "é\n", 1, 2.5, None, True, {"k": [1]}, [], -3],
                                    k=self.random.randint(1, 5))
        self.note("enum")
        return {"enum": values}, lambda: self.random.choice(values)

    def constant(self, depth):
        del depth
        value = self.random.choice(["x", 0, {"a": None}])
        self.note("const")
        return {"const": value}, lambda: value

    def object(self, depth):
        names = self.random.sample(["a", "ab", "b c", "é", "q\"", "id", "name"], k=3)
        made = {name: self.schema(depth - 1) for name in names}
        required = [name for name in names if self.random.random() < 0.5]
        schema = {"type": "object", "properties": {k: v[0] for k, v in made.items()},
                  "required": required}
        other = self.random.choice([None, False, {"type": "integer"}])
        self.note("properties", "required")
        if other is not None:
            self.note("additionalProperties")
            schema["additionalProperties"] = other

        def value():
            got = {k: made[k][1]() for k in names if k in required or self.random.random() < 0.5}
            if other and self.random.random() < 0.5:
                got["zz"] = 5
            return got
        return schema, value

    def array(self, depth):
        item, make = self.schema(depth - 1)
        low = self.random.randint(0, 3)
        high = low + self.random.randint(0, 4)
        self.note("items", "minItems", "maxItems")
        return ({"type": "array", "items": item, "minItems": low, "maxItems": high},
                lambda: [make() for _ in range(self.random.randint(low, high))])

    def tuple(self, depth):
        parts = [self.schema(depth - 1) for _ in range(2)]
        self.note("prefixItems")
        return ({"type": "array", "prefixItems": [p[0] for p in parts], "items": False,
                 "minItems": 1}, lambda: [p[1]() for p in parts][:self.random.randint(1, 2)])

    def any_of(self, depth):
        parts = [self.schema(depth - 1) for _ in range(2)]
        self.note("anyOf")
        return {"anyOf": [p[0] for p in parts]}, lambda: self.random.choice(parts)[1]()

    def all_of(self, depth):
        del depth
        self.note("allOf")
        return ({"allOf": [{"type": "integer", "minimum": 3}, {"maximum": 90}]},
                lambda: self.random.randint(3, 90))

    def recursive(self, depth):
        del depth
        self.note("$ref")

        def value(levels=3):
            return {"v": 1, "next": value(levels - 1) if levels and self.random.random() < 0.7
                    else None}
        return {"$ref": "#/$defs/node"}, value


NODE = {"type": "object", "properties": {"v": {"type": "integer"}, "next": {
    "anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}}, "required": ["v", "next"]}


def test_schemas():
    used = collections.Counter()
    requests, schemas = [], []
    for seed in range(SCHEMAS):
        maker = Maker(seed)
        schema, value = maker.schema(3)
        schema = {**schema, "$defs": {"node": NODE}}
        used.update(set(maker.used))
        texts = [json.dumps(value(), ensure_ascii=False, separators=(",", ":")) for _ in range(4)]
        schemas.append(schema)
        requests.append({"kind": "schema", "text": json.dumps(schema), "seed": seed,
                         "generate": 2, "accept": texts, "compact": seed % 2 == 0})
    few = {keyword: count for keyword, count in used.items() if count < 20}
    assert not few, f"keywords in fewer than 20 schemas: {few}"
    written = 0
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    for schema, request, reply in zip(schemas, requests, ask(requests)):
        assert reply["status"] == "OK" and reply["ambiguous"] == 0, (schema, reply)
        for text in filter(None, reply["outputs"]):
            validator = jsonschema.Draft202012Validator(schema, format_checker=checker)
            errors = list(validator.iter_errors(json.loads(text)))
            assert not errors, (schema, text, errors[0].message)
            written += 1
        refused = [t for t, taken in zip(request["accept"], reply["accepted"]) if not taken]
        assert not refused, (schema, refused)
    assert written >= SCHEMAS * 2 * 0.9, f"only {written} texts came to an end"


def random_pattern(rng, depth=3):
    if depth == 0 or rng.random() < 0.2:
        return rng.choice(["a", "b", "[ab]", "[^ab\\n]", "\\d", "é", "x"])
    form = rng.randrange(4)
    if form == 0:
        return f"(?:{random_pattern(rng, depth - 1)}|{random_pattern(rng, depth - 1)})"
    if form == 1:
        return f"(?:{random_pattern(rng, depth - 1)}){rng.choice(['*', '+', '?', '{2}', '{0,5}'])}"
    return random_pattern(rng, depth - 1) + random_pattern(rng, depth - 1)


def test_patterns():
    rng = random.Random(7)
    patterns = [random_pattern(rng) for _ in range(300)]
    texts = ["".join(rng.choices("abxé1", k=rng.randint(0, 6))) for _ in range(40)]
    replies = ask([{"kind": "regex", "text": p, "seed": i, "generate": 3, "accept": texts}
                   for i, p in enumerate(patterns)])
    for pattern, reply in zip(patterns, replies):
        judge = re.compile(pattern, re.ASCII)
        for text in filter(None, reply["outputs"]):
            assert judge.fullmatch(text), (pattern, text)
        taken = [judge.fullmatch(text) is not None for text in texts]
        assert reply["accepted"] == taken, pattern


# -- grammars ------------------------------------------------------------------------------------
# A grammar is a tree: ("text", t), ("class", letters, negated), ("rule", name), ("row", [...]),
# ("one", [...]), ("times", part, least, most). It is written as GBNF for the program, and read by
# sets of ends for the judge, which knows nothing of automata.
LETTERS = "abé(\n"


class Grammar:
    """Random rules; they call themselves only behind a letter, so none is left-recursive."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.rules = {}
        for name in ("leaf", "knot", "root"):
            self.rules[name] = self.part(3, name)

    def part(self, depth, name):
        kinds = [self.text, self.letters]
        if depth > 0:
            kinds += [self.row, self.one, self.times, self.row, self.nested, self.call]
        return self.random.choice(kinds)(depth, name)

    def text(self, depth, name):
        del depth, name
        return ("text", "".join(self.random.choices(LETTERS, k=self.random.randint(0, 3))))

    def letters(self, depth, name):
        del depth, name
        return ("class", "".join(self.random.sample(LETTERS, k=2)), self.random.random() < 0.2)

    def row(self, depth, name):
        return ("row", [self.part(depth - 1, name) for _ in range(self.random.randint(1, 3))])

    def one(self, depth, name):
        return ("one", [self.part(depth - 1, name) for _ in range(self.random.randint(2, 3))])

    def times(self, depth, name):
        least, most = self.random.choice([(0, None), (1, None), (0, 1), (2, 2), (1, 3), (2, None)])
        return ("times", self.part(depth - 1, name), least, most)

    def call(self, depth, name):
        before = list(self.rules)  # rules that are whole: no circle
        return ("rule", self.random.choice(before)) if before else self.text(depth, name)

    def nested(self, depth, name):
        return ("one", [("row", [("text", "("), ("rule", name), self.part(depth - 1, name)]),
                        ("text", "b")])

    def written(self):
        return "".join(f"{name} ::= {write(part)}\n" for name, part in self.rules.items())


def escape(text):
    return "".join({"\n": "\\n", '"': '\\"'}.get(c, c) for c in text)


def write(part):
    kind = part[0]
    if kind == "text":
        return f'"{escape(part[1])}"'
    if kind == "class":
        return f"[{'^' if part[2] else ''}{escape(part[1])}]"
    if kind == "rule":
        return part[1]
    if kind == "row":
        return "(" + " ".join(map(write, part[1])) + ")"
    if kind == "one":
        return "(" + " | ".join(map(write, part[1])) + ")"
    _, inner, least, most = part
    form = {(0, None): "*", (1, None): "+", (0, 1): "?"}.get((least, most))
    return f"({write(inner)})" + (form or "{%d%s}" % (least, "" if most == least else
                                                      "," if most is None else f",{most}"))


class Judge:
    """Where a part may end that begins at a place of the text: a set, and nothing cleverer."""

    def __init__(self, rules, text):
        self.rules, self.text, self.known = rules, text, {}

    def takes(self):
        return len(self.text) in self.ends(self.rules["root"], 0)

    def ends(self, part, begin):
        key = (id(part), begin)
        if key not in self.known:
            self.known[key] = getattr(self, "read_" + part[0])(part, begin)
        return self.known[key]

    def read_text(self, part, begin):
        return {begin + len(part[1])} if self.text.startswith(part[1], begin) else set()

    def read_class(self, part, begin):
        fits = begin < len(self.text) and (self.text[begin] in part[1]) != part[2]
        return {begin + 1} if fits else set()

    def read_rule(self, part, begin):
        return self.ends(self.rules[part[1]], begin)

    def read_row(self, part, begin):
        places = {begin}
        for inner in part[1]:
            places = {end for place in places for end in self.ends(inner, place)}
        return places

    def read_one(self, part, begin):
        return set().union(*(self.ends(inner, begin) for inner in part[1]))

    def read_times(self, part, begin):
        _, inner, least, most = part
        places, found = {begin}, {begin} if least == 0 else set()
        for count in range(1, (most if most is not None else least + len(self.text) + 1) + 1):
            places = {end for place in places for end in self.ends(inner, place)}
            found |= places if count >= least else set()
        return found


def test_grammars():
    made = [Grammar(seed) for seed in range(GRAMMARS)]
    rng = random.Random(5)
    texts = ["".join(rng.choices(LETTERS, k=rng.randint(0, 7))) for _ in range(60)]
    replies = ask([{"kind": "gbnf", "text": grammar.written(), "seed": seed, "generate": 4,
                    "accept": texts} for seed, grammar in enumerate(made)])
    written = taken = ambiguous = 0
    for grammar, reply in zip(made, replies):
        assert reply["status"] == "OK", (grammar.written(), reply)
        for text in reply["outputs"]:
            if text is not None:
                assert Judge(grammar.rules, text).takes(), (grammar.written(), text)
                written += 1
        want = [Judge(grammar.rules, text).takes() for text in texts]
        assert reply["accepted"] == want, (grammar.written(), [
            text for text, a, b in zip(texts, reply["accepted"], want) if a != b])
        taken += sum(want)
        ambiguous += reply["ambiguous"]
    assert written > GRAMMARS * 2 and taken > GRAMMARS, (written, taken)
    assert ambiguous <= GRAMMARS * 4 * 0.02, f"{ambiguous} texts had too many readings"
