# SPDX-License-Identifier: Apache-2.0
"""Chat templates render to the very text that Jinja2 renders, set up as transformers does.

Templates of the model families' shapes (written for this test), every construct that they use by
itself, and expressions from a seeded generator. What Jinja2 refuses must be refused here too.
"""
import datetime
import json
import os
import pathlib
import random
import subprocess
import warnings

import pytest

from conftest import FULL

jinja2 = pytest.importorskip("jinja2")
from jinja2 import nodes  # noqa: E402
from jinja2.compiler import CodeGenerator  # noqa: E402
from jinja2.ext import Extension, loopcontrols  # noqa: E402
from jinja2.sandbox import ImmutableSandboxedEnvironment  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOL = ROOT / os.environ.get("BUILD", "build") / "tests/unit/llm/template/template_tool"
NOW = 1753600000


class Generation(Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_keep"), [], [], body).set_lineno(line)

    def _keep(self, caller):
        return caller()


def environment():
    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                          sort_keys=sort_keys)

    def strftime_now(form):
        return datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc).strftime(form)

    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                        extensions=[Generation, loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = strftime_now
    return env


class NoFolding(CodeGenerator):
    """Compiles without working constants out first, so that a mistake in them is raised."""

    def _output_child_to_const(self, *_):
        raise nodes.Impossible()


ENV = environment()
UNFOLDED = environment()
UNFOLDED.optimized = False
UNFOLDED.code_generator_class = NoFolding


@pytest.fixture(scope="module")
def tool():
    process = subprocess.Popen([TOOL], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def render(case):
        process.stdin.write(json.dumps({"now_s": NOW, **case}).encode() + b"\n")
        process.stdin.flush()
        line = process.stdout.readline()
        assert line, f"the program ended at {case!r}"
        return json.loads(line)

    yield render
    process.stdin.close()
    assert process.wait(timeout=10) == 0


def reference(case, env=ENV):
    """The text, or the exception that Jinja2 raises."""
    variables = {"messages": case.get("messages"), "tools": case.get("tools"), "documents": None,
                 "bos_token": case.get("bos_token", ""), "eos_token": case.get("eos_token", ""),
                 "add_generation_prompt": case.get("add_generation_prompt", False),
                 **case.get("extra", {})}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # generated code that indexes a number, and the like
            return env.from_string(case["template"]).render(**variables), None
    except Exception as error:  # whatever it is, ours must refuse too
        return None, error


def check(tool, case):
    want, error = reference(case)
    got = tool(case)
    if error is not None:
        assert "error" in got, f"{case['template']!r}: {got} where Jinja2 says {error!r}"
        return got
    assert "text" in got, f"{case['template']!r}: {got} where Jinja2 gives {want!r}"
    assert got["text"] == want, f"{case['template']!r}"
    runs = got["runs"]
    assert [run[0] for run in runs[1:]] == [run[1] for run in runs[:-1]]
    assert all(a[2] != b[2] for a, b in zip(runs, runs[1:]))
    assert (runs[-1][1] if runs else 0) == len(want.encode())
    return got


# -- construct by construct ----------------------------------------------------------------------

VARIABLES = {
    "s": "Hello, Wörld", "t": "  pad\tded \n", "e": "", "n": 7, "m": -3, "f": 2.5, "z": 0,
    "b": True, "no": None, "l": [3, 1, 2], "w": ["pear", "Apple", "fig", "apple"],
    "d": {"b": 1, "a": {"k": [1, 2]}, "items": "mine"}, "g": {},
    "r": [{"role": "user", "n": 2}, {"role": "system", "n": 1}, {"role": "user", "n": 3}],
    "q": "it's \"quoted\" \\ \u00e9\u4e2d\U0001f600\u0007\n",
    "big": 9007199254740993, "tiny": 1e-7,
    "huge": 1e22, "html": "<a href='x'>&</a>", "multi": "one\ntwo\n\nthree\n",
}

CASES = json.loads((ROOT / "tests/conformance/data/template_cases.json").read_text())


def cases_of(texts):
    messages = [{"role": "user", "content": " Hi <b> "}, {"role": "assistant", "content": "yo"}]
    return [{"template": text, "messages": messages, "extra": VARIABLES} for text in texts]


@pytest.mark.parametrize("case", cases_of(CASES["constructs"] + CASES["white_space"]),
                         ids=lambda case: case["template"][:60])
def test_construct(tool, case):
    check(tool, case)


# -- family by family: templates of our own that are built as the real ones are --------------------

FAMILIES = json.loads((ROOT / "tests/conformance/data/chat_templates.json").read_text())
TOOLS = [{"type": "function", "function": {
    "name": "get_weather", "description": "The \"weather\" of a place <now>", "parameters": {
        "type": "object", "required": ["city"], "properties": {
            "city": {"type": "string", "description": "Where, e.g. Z\u00fcrich"},
            "days": {"type": "integer", "minimum": 1},
            "unit": {"type": "string", "enum": ["c", "f"]}}}}}]
CALL = {"id": "call12345", "type": "function",
        "function": {"name": "get_weather", "arguments": {"city": "Bern", "days": 2}}}
CHATS = [
    [{"role": "user", "content": "Hi"}],
    [{"role": "system", "content": " Be brief. "}, {"role": "user", "content": "Hi <|im_end|>"}],
    [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"},
     {"role": "user", "content": "c\n"}],
    [{"role": "system", "content": "s"}, {"role": "user", "content": "weather?"},
     {"role": "assistant", "content": "", "tool_calls": [CALL]},
     {"role": "tool", "name": "get_weather", "tool_call_id": "call12345", "content": "{\"t\": 3}"},
     {"role": "assistant", "content": "<think>\ncold\n</think>\n\nIt is cold."},
     {"role": "user", "content": "thanks"}],
    [{"role": "user", "content": [{"type": "text", "text": "part"}, {"type": "image"}]}],
    [{"role": "assistant", "content": "out of turn"}, {"role": "user", "content": "x"}],
]


def families():
    for name, lines in FAMILIES.items():
        for number, messages in enumerate(CHATS):
            for tools in (None, TOOLS):
                for extra in ({}, {"enable_thinking": False}):
                    yield pytest.param({
                        "template": "\n".join(lines), "messages": messages, "tools": tools,
                        "extra": extra, "bos_token": "<s>", "eos_token": "</s>",
                        "add_generation_prompt": number % 2 == 0},
                        id=f"{name}-{number}-{tools is not None}-{bool(extra)}")


@pytest.mark.parametrize("case", families())
def test_family(tool, case):
    got = check(tool, case)
    for begin, end, trusted in got.get("runs", []):
        text = got["text"].encode()[begin:end].decode()
        if trusted:
            for typed in ("Hi", "Zürich", "thanks", "cold", "Be brief"):
                assert typed not in text


def test_every_family_renders():
    """A family whose every chat is refused by Jinja2 too would test nothing."""
    for name, lines in FAMILIES.items():
        case = {"template": "\n".join(lines), "messages": CHATS[2], "bos_token": "<s>",
                "add_generation_prompt": True}
        text, error = reference(case)
        assert error is None and "c" in text, name


def test_real_template(tool):
    path = ROOT / ".deps/models/SmolLM2-135M-Instruct.Q4_1.gguf"
    if not path.exists():
        pytest.skip("no SmolLM2 below .deps/models")
    data = path.read_bytes()[:8 << 20]
    at = data.index(b"tokenizer.chat_template") + len("tokenizer.chat_template") + 4
    size = int.from_bytes(data[at:at + 8], "little")
    template = data[at + 8:at + 8 + size].decode()
    for messages in CHATS[:3]:
        for prompt in (False, True):
            check(tool, {"template": template, "messages": messages,
                         "add_generation_prompt": prompt})


# -- generated -----------------------------------------------------------------------------------


class Generator:
    """Expressions and statements by chance; most make sense to Jinja2, some are refused."""

    ATOMS = ["s", "t", "e", "n", "m", "f", "z", "b", "no", "l", "w", "d", "g", "r", "q", "nothing",
             "'lit'", "'a b'", '"x"', "0", "1", "2", "-1", "2.5", "true", "none", "[]", "[1, 2]",
             "('a', 1)", "{'k': 'v'}", "range(4)", "messages", "multi", "d.a", "r[0]", "loop"]
    BINARY = ["+", "-", "*", "//", "%", "~", "~", "~", "==", "!=", "<", ">=", "in", "not in", "and",
              "or", "/"]
    FILTERS = ["upper", "lower", "trim", "length", "first", "last", "list", "string", "int",
               "float", "join(',')", "join", "default('D')", "default('D', true)",
               "replace('a', 'b')",
               "tojson", "tojson(indent=1)", "title", "capitalize", "reverse|list", "sort", "abs",
               "unique|list", "map('string')|list", "select|list", "sum", "min", "max", "round(1)",
               "indent(2)", "items|list", "dictsort", "map(attribute='n')|list", "safe", "e",
               "selectattr('role', 'eq', 'user')|list", "reject('none')|list", "batch(2)|list"]
    TESTS = ["defined", "undefined", "none", "string", "number", "mapping", "iterable", "sequence",
             "boolean", "true", "odd", "integer", "eq(1)", "in([1, 'lit'])", "not none",
             "sameas(none)"]
    METHODS = [".upper()", ".strip()", ".split()", ".split('l')", ".startswith('H')",
               ".items()|list", ".get('b')", ".keys()|list", ".replace('l', '')", ".title()",
               ".find('o')", ".role"]
    SUFFIXES = ["[0]", "[-1]", "[1:]", "[:2]", "[::-1]", "[::2]", "[-2:]", "['b']", "['role']",
                ".n"]

    def __init__(self, seed):
        self.random = random.Random(seed)

    def expression(self, depth):
        pick = self.random.random()
        if depth == 0 or pick < 0.2:
            return self.random.choice(self.ATOMS)
        inner = self.expression(depth - 1)
        if pick < 0.4:
            other = self.expression(depth - 1)
            return f"({inner}) {self.random.choice(self.BINARY)} {other}"
        if pick < 0.65:
            return f"({inner})|{self.random.choice(self.FILTERS)}"
        if pick < 0.75:
            return f"({inner}){self.random.choice(self.SUFFIXES)}"
        if pick < 0.83:
            return f"({inner}){self.random.choice(self.METHODS)}"
        if pick < 0.9:
            return f"({inner}) is {self.random.choice(self.TESTS)}"
        if pick < 0.95:
            return f"{inner} if {self.expression(depth - 1)} else {self.expression(depth - 1)}"
        return self.random.choice(["not ", "-"]) + f"({inner})"

    def statement(self, depth):
        pick = self.random.random()
        dash = lambda: self.random.choice(["", "", "-"])  # noqa: E731
        def tag(text):
            return "{%" + dash() + " " + text + " " + dash() + "%}"
        if depth == 0 or pick < 0.35:
            return "{{" + dash() + " " + self.expression(2) + " " + dash() + "}}"
        body = self.random.choice([" ", "\n", "x"]).join(
            self.statement(depth - 1) for _ in range(self.random.randint(1, 3)))
        if pick < 0.55:
            return tag("if " + self.expression(2)) + body + tag("else") + "no" + tag("endif")
        if pick < 0.75:
            over = self.random.choice(["l", "w", "r", "messages", "range(3)", "d", "s", "nothing"])
            return tag(f"for i in {over}") + body + "{{ loop.index }}" + tag("endfor")
        if pick < 0.85:
            return tag(f"set n = {self.expression(1)}") + body
        if pick < 0.92:
            return tag("set cap") + body + tag("endset") + "{{ cap|length }}"
        return tag("filter upper") + body + tag("endfilter")


def generated(kind, count):
    for seed in range(count):
        generator = Generator(f"{kind}{seed}")
        yield ("{{ " + generator.expression(4) + " }}" if kind == "expression"
               else generator.statement(3))


def is_machine_bound(text):
    """Addresses of objects and the order of things that have none are not ours to match."""
    return " at 0x" in text or "<generator" in text or "dict_" in text


def is_refused_rightly(case, got):
    """Where Jinja2 goes on by chance and we do not. Folded, a constant without slices has an
    undefined one, which the same value in a variable has not; and a loop's own variable can be gone
    over, which takes the loop's items from it."""
    if "error" not in got:
        return False
    return reference(case, UNFOLDED)[1] is not None or (
        "cannot go over the items of loop" in got["error"])


@pytest.mark.parametrize("kind,count", [("expression", 6000 if FULL else 1000),
                                        ("statement", 3000 if FULL else 500)])
def test_generated(tool, kind, count):
    rendered = refused = 0
    for case in cases_of(generated(kind, count)):
        text, error = reference(case)
        if text is not None and is_machine_bound(text):
            continue
        got = tool(case)
        if error is None and is_refused_rightly(case, got):
            refused += 1
            continue
        check(tool, case)
        rendered += error is None
    assert refused < count / 100, "more than chance"
    assert rendered > count / 5, "most cases were refused: the generator tests too little"
