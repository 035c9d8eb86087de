# SPDX-License-Identifier: Apache-2.0
"""The tools that judge the tree are judged here: each must find what it is there to find."""
import importlib.machinery
import importlib.util
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SPDX = "// SPDX-License-Identifier: Apache-2.0\n"
PROSE = SPDX + "//\n// What it owns.\n// Why.\n"


def load(name):
    loader = importlib.machinery.SourceFileLoader(name.replace("-", "_").replace(".py", ""),
                                                  str(ROOT / "tools" / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


lint, cli, runner, fetch = (load(name) for name in
                            ("lint.py", "run-cli-tests", "run-tests", "fetch_pins.py"))


def found(check, files):
    lint._BLANKED.clear()
    return list(getattr(lint, "check_" + check)(files))


def body(lines):
    return PROSE + "int f(int a)\n{\n" + "    a++;\n" * lines + "    return a;\n}\n"


BAD = [
    ("text", {"src/base/a.c": "int a; \n"}), ("text", {"src/base/a.c": "int a;"}),
    ("text", {"src/base/a.c": "\tint a;\n"}), ("text", {"src/base/a.c": "x" * 101 + "\n"}),
    ("text", {"docs/a.md": "a\u200bb\n"}),
    ("spdx", {"src/base/a.c": "int a;\n"}), ("spdx", {"tools/x": "#!/bin/sh\necho\n"}),
    ("prose", {"src/base/a.c": SPDX + "int a;\n"}),
    ("braces", {"src/base/a.c": "int f(int a)\n{\n    if (a)\n        a++;\n}\n"}),
    ("braces", {"src/base/a.c": "void f(void)\n{\n    for (;;)\n        g();\n}\n"}),
    ("order", {"src/base/a.c": '#include "table/tp_table.h"\n'}),
    ("order", {"src/learn/a.c": '#include "llm/tp_llm.h"\n'}),
    ("order", {"src/cli/a.c": '#include "base/tp_str.h"\n'}),
    ("order", {"src/base/a.c": '#include "tp_str.h"\n'}),
    ("public_headers", {"include/tapeout/a.h": "#include <stdio.h>\n"}),
    ("private_headers", {"src/learn/a.c": '#include "feature/feature_priv.h"\n'}),
    ("own_header_first", {"src/base/a.c": '#include "base/tp_b.h"\n#include "base/tp_a.h"\n',
                          "src/base/tp_a.h": ""}),
    ("names", {"src/base/a.c": "", "src/table/a.c": ""}),
    ("banned", {"src/base/x.c": "void f(void)\n{\n    char *p = malloc(3);\n}\n"}),
    ("banned", {"src/base/x.c": 'void f(void)\n{\n    printf("x");\n}\n'}),
    ("dead", {"src/base/a.c": "#if 0\n#endif\n"}), ("dead", {"src/base/a.c": "// TODO later\n"}),
    ("file_sizes", {"src/base/a.c": "\n" * 1001}), ("file_sizes", {"src/base/a.h": "\n" * 301}),
    ("functions", {"src/base/a.c": body(71)}),
    ("functions", {"src/base/a.c": "int f(int a, int b, int c, int d, int e, int g)\n{\n}\n"}),
    ("functions", {"src/base/a.c": "int f(const tp_env *env, int a, int b, int c, int d, int e, "
                                   "int g,\n tapeout_error *err)\n{\n}\n"}),
    ("front_door", {"Makefile": "\n" * 41}),
    ("pins", {"tools/pins.txt": "npm  x  1.0  abc  x.tgz  MIT  for nothing\n"}),
]
GOOD = [
    ("text", {"src/base/a.c": "int a;\n"}), ("prose", {"src/base/a.c": PROSE}),
    ("braces", {"src/base/a.c": "int f(int a)\n{\n    do {\n        a++;\n    } while (a < 3);\n"
                                "    if (a) {\n    } else if (a > 2) {\n    } else {\n    }\n}\n"}),
    ("order", {"src/table/a.c": '#include "base/tp_str.h"\n#include <tapeout/table.h>\n'}),
    ("banned", {"src/base/x.c": '// malloc(3)\nvoid f(struct a *a)\n{\n'
                                '    a->free(a, "malloc(");\n}\n'}),
    ("banned", {"src/cli/x.c": 'void f(void)\n{\n    printf("x");\n}\n'}),
    ("functions", {"src/base/a.c": body(60)}),
    ("functions", {"src/base/a.c": "int f(int a, int (*b)(int, int), int c, int d, int e)\n"
                                   "{\n}\n"}),
    ("functions", {"src/base/a.c": "int f(const tp_env *env, int a, int b, int c, int d, int e, "
                                   "tapeout_error *err)\n{\n}\n"}),
    ("file_sizes", {"src/base/a_tables.c": "\n" * 5000}),
]


@pytest.mark.parametrize("check,files", BAD)
def test_lint_finds(check, files):
    assert len(found(check, files)) == 1


@pytest.mark.parametrize("check,files", GOOD)
def test_lint_leaves_alone(check, files):
    assert found(check, files) == []


@pytest.mark.parametrize("got,patterns,matches", [
    (["a1", "b"], ["a*", "b"], True), (["a"], ["b"], False), ([], [], True), (["a"], [], False),
    (["a", "x", "y", "b"], ["a", "...", "b"], True), (["a"], ["...", "a", "..."], True),
    (["a", "b"], ["..."], True), (["a", "c"], ["...", "b"], False), ([], ["a"], False),
])
def test_globs_of_command_tests(got, patterns, matches):
    assert cli.lines_match(got, patterns) is matches


@pytest.mark.parametrize("output,status,counts", [
    ("ok a\n# 3 passed, 0 failed, 1 skipped\n", 0, (3, 0, 1)),
    ("# 3 passed, 2 failed, 0 skipped\n", 1, (3, 2, 0)),
    ("# 3 passed, 0 failed, 0 skipped\n", 139, (3, 1, 0)),
    ("dies before it counts\n", 134, (0, 1, 0)), ("says nothing\n", 0, (1, 0, 0)),
    ("cannot here\n", 77, (0, 0, 1)),
])
def test_counts_of_the_runner(output, status, counts):
    tally = runner.Tally()
    tally.add("it", output, status)
    assert (tally.passed, tally.failed, tally.skipped) == counts


def test_a_download_with_another_hash_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "CACHE", tmp_path)
    monkeypatch.setattr(fetch, "download", lambda kind, name, version, sha256, into:
                        (into / "a.tgz").write_bytes(b"other bytes"))
    with pytest.raises(SystemExit, match="not unpacked"):
        fetch.fetch("npm", "a", "1", "0" * 64, "a.tgz")
    assert list(tmp_path.iterdir()) == []


def test_every_pin_says_what_is_wanted_of_it():
    for kind, name, *_ in fetch.read_pins({"sdist", "wheel", "npm", "gemma"}):
        assert fetch.WANTED[name], f"{kind} {name}"
