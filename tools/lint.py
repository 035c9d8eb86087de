#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The rules of the tree that a compiler does not know, as one check each.

Layout (clang-format, 100 columns, no tabs, no trailing space, a final newline), the SPDX line, the
order of modules in includes, private headers, unique base names, banned functions, and the sizes of
files and functions. A check yields (file, line, message); a finding fails the run. What only
deserves a look, such as a file above 600 lines, is printed as a note and fails nothing.

    tools/lint.py            every check over the files that git knows
    tools/lint.py FILE...    the same over these files

The last line counts checks: `# N passed, N failed, N skipped`.
"""
import collections
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# The order of dependence. A module includes those of a lower rank; equals never meet.
RANKS = {name: rank for rank, names in enumerate((
    ("base",), ("kernels",), ("table",), ("feature",), ("learn", "llm"), ("bundle",), ("import",),
    ("trust",), ("registry",), ("pipeline",), ("monitor",), ("serve",), ("cli",)))
    for name in names}

LINES_OF_SOURCE, LINES_OF_SOURCE_TO_NOTE, LINES_OF_HEADER = 1000, 600, 300
LINES_OF_FUNCTION, PARAMETERS, NESTING, COLUMNS = 70, 5, 3, 100

# Memory goes through the allocator, text through bounded helpers, numbers through parsers that
# report overflow (base/banned.h makes the same names compile errors).
BANNED = ("malloc calloc realloc reallocarray free strcpy strcat strncpy strncat sprintf vsprintf "
          "gets atoi atol atoll atof strtok strtok_r strtol strtoul strtoll strtoull strtod strtof "
          "sscanf strdup strndup alloca setenv putenv localtime gmtime asctime ctime system popen "
          "tmpnam mktemp rand srand random").split()
# The library never prints and never ends the process; the server's log and the commands may print.
PRINTING = "printf puts putchar perror vprintf exit _exit quick_exit abort".split()
# Files that implement the replacements, each with what it may call.
MAY_CALL = {
    "src/base/alloc.c": {"malloc", "realloc", "calloc", "free"},
    "src/base/sandbox.c": {"_exit"},  # a forked child ends there and nowhere else
    "src/base/sandbox_try.c": {"_exit"},
}

# Callbacks whose parameters another library's header counts.
CALLBACKS = {"choose_protocol"}

findings = []
notes = []


def text_files():
    out = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    names = [name for name in out.stdout.decode().split("\0") if name]
    if len(sys.argv) > 1:
        asked = {str(pathlib.Path(name).resolve().relative_to(ROOT)) for name in sys.argv[1:]}
        names = [name for name in names if name in asked]
    files = {}
    for name in names:
        path = ROOT / name
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes()
            if b"\0" not in data and not is_data(name):
                files[name] = data.decode("utf-8", "replace")
    return files


def is_data(name):
    """Fixtures and expected outputs keep their bytes, whatever they are."""
    return bool(re.search(r"(/(corpus|fixtures|data)/|\.exact$|\.glob$|\.csv$|\.json$|^LICENSE$)",
                          name))


def is_c(name):
    return name.endswith((".c", ".h"))


def is_generated(name):
    return name.endswith(("_tables.c", "_tables.h"))


_BLANKED = {}


def blanked(name, text):
    """The source with comments, strings and character constants as spaces, line breaks kept."""
    if name not in _BLANKED:
        pattern = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
        _BLANKED[name] = pattern.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)
    return _BLANKED[name]


def without_macros(text):
    """Preprocessor lines, with their continuations, as empty lines."""
    return re.sub(r"^[ \t]*#(?:[^\n\\]|\\.|\\\n)*", lambda m: "\n" * m.group().count("\n"), text,
                  flags=re.M)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


# The checks.

def check_text(files):
    """Spaces, final newline, width, invisible characters."""
    for name, text in files.items():
        if text and not text.endswith("\n"):
            yield name, text.count("\n") + 1, "no newline at the end of the file"
        makefile = pathlib.Path(name).name == "Makefile"
        free = not is_c(name) and not name.endswith(".py")
        for number, line in enumerate(text.split("\n"), 1):
            if line != line.rstrip():
                yield name, number, "space at the end of the line"
            if "\t" in line and not makefile:
                yield name, number, "a tab; indent with spaces"
            if len(line) > COLUMNS and not free and not is_generated(name):
                yield name, number, f"{len(line)} columns, at most {COLUMNS}"
            if re.search("[\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]", line):
                yield name, number, "an invisible or direction-changing character"


def check_spdx(files):
    """One SPDX line in the first two lines of every source file and script."""
    for name, text in files.items():
        if is_c(name) or name.endswith((".py", ".sh")) or text.startswith("#!"):
            if name.startswith("tests/cli/") and name.endswith(".sh"):
                continue
            head = text.split("\n")[:2]
            if not any("SPDX-License-Identifier: Apache-2.0" in line for line in head):
                yield name, 1, "no SPDX-License-Identifier: Apache-2.0 in the first two lines"


def check_prose(files):
    """Every source file opens with a comment that says what it owns."""
    for name, text in files.items():
        if is_c(name) and not is_generated(name) and name.startswith(("src/", "include/")):
            head = re.match(r"(?://[^\n]*\n)+", text)
            lines = head.group().count("\n") if head else 0
            if lines < 3:
                yield name, 1, "the file does not open with prose about what it owns and why"


def check_layout(files):
    """clang-format decides."""
    names = [name for name in files if is_c(name) and not is_generated(name)]
    if not names:
        return
    done = subprocess.run(["clang-format", "--dry-run", "--Werror", *names], cwd=ROOT,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    seen = set()
    for match in re.finditer(r"^([^:\n]+):(\d+):\d+: error:", done.stdout, re.M):
        if match.group(1) not in seen:
            seen.add(match.group(1))
            yield match.group(1), int(match.group(2)), "layout differs from clang-format -i"
    if done.returncode != 0 and not seen:
        yield "clang-format", 0, done.stdout.strip()[:300]


def check_braces(files):
    """Every if, else, for and while has braces."""
    for name, text in files.items():
        if not is_c(name) or is_generated(name):
            continue
        plain = without_macros(blanked(name, text))
        for match in re.finditer(r"\b(?:(if|for|while)\s*\(|else\b)", plain):
            at = match.end()
            depth = 1 if match.group(1) else 0
            while depth > 0 and at < len(plain):
                depth += (plain[at] == "(") - (plain[at] == ")")
                at += 1
            after = plain[at:at + 200].lstrip()
            ends_do = match.group(1) == "while" and after.startswith(";")
            chained = match.group(1) is None and re.match(r"if\b", after)
            if after and not after.startswith("{") and not ends_do and not chained:
                word = match.group(1) or "else"
                yield name, line_of(plain, match.start()), f"{word} needs braces"


def includes(files):
    for name, text in files.items():
        if is_c(name):
            for match in re.finditer(r'^[ \t]*#[ \t]*include[ \t]+([<"])([^>"]+)[>"]', text, re.M):
                yield name, line_of(text, match.start()), match.group(1), match.group(2)


def module_of(name):
    parts = name.split("/")
    return parts[1] if len(parts) > 2 and parts[0] == "src" and parts[1] in RANKS else None


def check_order(files):
    """A module knows those before it; equals never meet; commands stand on the public headers."""
    for name, line, quote, target in includes(files):
        module = module_of(name)
        other = target.split("/")[0] if quote == '"' else None
        if quote == '"' and name.startswith(("src/", "include/")) and "/" not in target:
            yield name, line, f'"{target}" is not rooted at src/'
        if module is None or other not in RANKS or other == module:
            continue
        if module == "cli":
            yield name, line, f'cli includes "{target}"; it stands on <tapeout/...> and cli/ only'
        elif RANKS[other] >= RANKS[module]:
            yield name, line, f"{module} includes {target}, but {other} does not come before it"


def check_public_headers(files):
    """Public headers include other public headers and three of the system's."""
    allowed = {"stddef.h", "stdint.h", "stdbool.h"}
    for name, line, _, target in includes(files):
        if name.startswith("include/") and not target.startswith("tapeout/"):
            if target not in allowed:
                yield name, line, f"a public header includes <{target}>"


def check_private_headers(files):
    """`*_priv.h` stays inside its module and the module's own unit tests; fuzz targets see all."""
    for name, line, _, target in includes(files):
        owner = target.split("/")[0]
        tested = name.startswith((f"tests/unit/{owner}/", "tests/fuzz/"))
        if target.endswith("_priv.h") and owner != module_of(name) and not tested:
            yield name, line, f"{target} is private to its module"


def check_own_header_first(files):
    """x.c includes its own header first, which proves that the header stands alone."""
    first = {}
    for name, line, _, target in includes(files):
        if name.startswith("src/") and name.endswith(".c"):
            first.setdefault(name, (line, target))
    for name, (line, target) in first.items():
        folder, stem = name[len("src/"):-len(".c")].rsplit("/", 1)
        own = [f"{folder}/tp_{stem}.h", f"{folder}/{stem}.h", f"{folder}/{stem}_priv.h"]
        own = [header for header in own if "src/" + header in files]
        if own and target not in own and target != f"tapeout/{stem}.h":
            yield name, line, f'the first include is {target}, not its own "{own[0]}"'


def check_names(files):
    """Base names of .c and .h files are unique."""
    seen = collections.defaultdict(list)
    for name in files:
        if is_c(name) and name.startswith(("src/", "include/")):
            seen[pathlib.Path(name).name].append(name)
    for names in seen.values():
        for name in names[1:]:
            yield name, 1, f"the base name is taken by {names[0]}"


def check_banned(files):
    """Functions that no source file calls."""
    for name, text in files.items():
        if (not is_c(name) or not name.startswith(("src/", "include/"))
                or name == "src/base/banned.h"):
            continue
        words = set(BANNED)
        if module_of(name) not in ("cli", "serve"):
            words |= set(PRINTING)
        words -= MAY_CALL.get(name, set())
        pattern = re.compile(r"(?<![\w.>])(" + "|".join(sorted(words)) + r")\s*\(")
        plain = without_macros(blanked(name, text))
        for match in pattern.finditer(plain):
            yield name, line_of(plain, match.start()), f"{match.group(1)}() is banned"


def check_dead(files):
    """No code that is switched off, no unfinished business without an issue."""
    for name, text in files.items():
        if is_c(name):
            for match in re.finditer(r"^[ \t]*#[ \t]*if[ \t]+0\b|\b(?:TODO|FIXME|XXX)\b", text,
                                     re.M):
                yield name, line_of(text, match.start()), f"{match.group().strip()}"


def check_file_sizes(files):
    """Sources of at most 1000 lines, headers of at most 300; the list of limits is one list."""
    for name, text in files.items():
        if not is_c(name) or is_generated(name) or name == "src/base/limits.h":
            continue
        lines = text.count("\n")
        most = LINES_OF_HEADER if name.endswith(".h") else LINES_OF_SOURCE
        if lines > most:
            yield name, 1, f"{lines} lines, at most {most}"
        elif name.endswith(".c") and lines > LINES_OF_SOURCE_TO_NOTE:
            notes.append((name, 1, f"{lines} lines: is it two things?"))


Function = collections.namedtuple("Function", "name line lines parameters depth")


def functions(name, text):
    """The function definitions of a file, found by braces in the source without its comments."""
    plain = without_macros(blanked(name, text))
    plain = re.sub(r'extern\s+ {3}\s*\{', lambda m: re.sub(r"[^\n]", " ", m.group()), plain)
    head = re.compile(r"(\w+)\s*\(((?:[^(){};]|\([^(){};]*\))*)\)"
                      r"(?:\s*__attribute__\s*\(\([^{};]*?\)\))?\s*\{")
    position = 0
    while True:
        match = head.search(plain, position)
        if match is None:
            return
        depth, deepest, at = 1, 1, match.end()
        while depth > 0 and at < len(plain):
            if plain[at] == "{":
                depth += 1
                deepest = max(deepest, depth)
            elif plain[at] == "}":
                depth -= 1
            at += 1
        parameters = split_parameters(match.group(2))
        yield Function(match.group(1), line_of(plain, match.start()),
                       plain.count("\n", match.end(), at), parameters, deepest - 1)
        position = at


def split_parameters(text):
    """How many parameters a list declares, without what every call carries: `env` and `err`."""
    depth, names = 0, [""]
    for character in text:
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            names.append("")
        else:
            names[-1] += character
    carried = re.compile(r"\s*(const tp_env \*env|tapeout_error \*err|void)?\s*")
    return sum(not carried.fullmatch(name) for name in names)


def check_functions(files):
    """Functions of at most 70 lines, 5 parameters and 3 levels inside the body."""
    for name, text in files.items():
        if not name.endswith(".c") and not name.endswith(".h") or is_generated(name):
            continue
        for function in functions(name, text):
            if function.lines > LINES_OF_FUNCTION:
                yield (name, function.line,
                       f"{function.name} has {function.lines} lines, at most {LINES_OF_FUNCTION}")
            if function.parameters > PARAMETERS and function.name not in CALLBACKS:
                yield (name, function.line, f"{function.name} has {function.parameters} "
                       f"parameters, at most {PARAMETERS}; else an options struct")
            if function.depth > NESTING:
                notes.append((name, function.line,
                              f"{function.name} nests {function.depth} deep, {NESTING} is the aim"))


def check_front_door(files):
    """The Makefile stays a front door."""
    lines = files.get("Makefile", "").count("\n")
    if lines > 40:
        yield "Makefile", 1, f"{lines} lines, at most 40"


def check_pins(files):
    """Every pin has a version and a SHA-256; no address stands beside it."""
    for number, line in enumerate(files.get("tools/pins.txt", "").split("\n"), 1):
        if line and not line.startswith("#"):
            fields = line.split()
            if len(fields) < 7 or not re.fullmatch(r"[0-9a-f]{64}", fields[3]):
                yield "tools/pins.txt", number, "not: kind name version sha256 file licence use"
            if "://" in line:
                yield "tools/pins.txt", number, "names an address"


def main():
    files = text_files()
    checks = [value for key, value in globals().items() if key.startswith("check_")]
    failed = skipped = 0
    for check in checks:
        title = check.__name__[len("check_"):].replace("_", "-")
        if check is check_layout and shutil.which("clang-format") is None:
            print(f"skip lint {title}: clang-format is not installed (make setup)")
            skipped += 1
            continue
        found = sorted(check(files))
        failed += bool(found)
        print(f"{'not ok' if found else 'ok'} lint {title}")
        for name, line, message in found[:40]:
            print(f"  {name}:{line}: {message}")
        if len(found) > 40:
            print(f"  and {len(found) - 40} more")
    for name, line, message in sorted(notes):
        print(f"note: {name}:{line}: {message}")
    print(f"# {len(checks) - failed - skipped} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
