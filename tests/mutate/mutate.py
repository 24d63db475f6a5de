#!/usr/bin/env python3
"""Mutation testing: small changes to lib/, one at a time, each of which some test must notice.
`make mutate` runs this.

    make mutate MUTANTS=500 SEED=1      go on to 500 mutants of this seed: rows are added to
                                        mutants.tsv in the build's folder
    make mutate AGAIN=survived          run the survivors that are not explained again, after tests
                                        were added
    make mutate AGAIN=all               run all rows again
    make mutate MUTANTS=100 SEED=2 FILES='lib/io/*.c'

Variables: JOBS (2), FAST (1: tests that take more seconds are left out), TABLE (mutants.tsv).

The sources are copied to the folder mutate-build and changed there. Each test is run once to see
which lines it covers and how long it takes; a mutant is then tried by the tests that cover its
line, the quickest first, until one fails. A changed file that compiles to the same code is no
mutant. Which mutants are taken, and in which order, follows from the seed and from the text of the
lines, so a change elsewhere in the library does not change the choice. Survivors that no test can
kill are explained, with a reason each, in explained.tsv.
"""
import argparse
import bisect
import fnmatch
import functools
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time

ROOMS = ["core", "autograd", "ops", "nn", "io", "data"]
PAGES = ["inspect", "report", "web"]  # each has an assets.c that make writes
COLUMNS = ["number", "file", "line", "operator", "before", "after", "outcome", "test", "seconds"]
HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))


# ---- sites ---------------------------------------------------------------------------------------

TOKEN = re.compile(
    r"[A-Za-z_]\w*|(?:0[xX][0-9a-fA-F]+|(?:\d+\.\d*|\.\d+|\d+)(?:[eE][-+]?\d+)?)[uUlLfF]*|"
                   r"<<=|>>=|\.\.\.|->|\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|\S")
BLANKED = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
ASIDE = {"assert", "_Static_assert", "sizeof", "gr__fail", "gr__fail_memory", "_Alignof",
    "offsetof"}
NO_MATTER = {"assert", "va_end", "madvise"}
KEYWORDS = {"return", "if", "for", "while", "else", "do", "case", "goto", "switch", "const",
            "static", "struct", "default", "break", "continue", "typedef", "extern", "enum",
            "union"}
COMPARED = {"<": [("border", "<="), ("turn", ">=")], "<=": [("border", "<"), ("turn", ">")],
            ">": [("border", ">="), ("turn", "<=")], ">=": [("border", ">"), ("turn", "<")],
            "==": [("turn", "!=")], "!=": [("turn", "==")]}
BEFORE_UNARY = set(
    "( [ { , = ? : ; < > <= >= == != && || + - * / % & | ^ return += -= *= /= ! ~".split())


def blank(text):
    """The text with comments, strings, assertions and preprocessor lines as spaces; every offset
    stays."""
    def spaces(m):
        s = m.group(0)
        inner = "".join(c if c == "\n" else " " for c in s[1:-1])
        return s[0] + inner + s[-1] if s[0] in "\"'" else "".join(c if c == "\n" else " "
            for c in s)
    text = BLANKED.sub(spaces, text)
    lines, on = text.split("\n"), False
    for i, line in enumerate(lines):
        if on or line.lstrip().startswith("#"):
            on = line.endswith("\\")
            lines[i] = " " * len(line)
    return "\n".join(lines)


def matching(text, at):
    """The offset of the bracket that closes the one at `at`."""
    depth = 0
    for i in range(at, len(text)):
        if text[i] in "([{":
            depth += 1
        elif text[i] in ")]}":
            depth -= 1
            if depth == 0:
                return i
    return len(text) - 1


def functions(text):
    """(begin, end, type) of the bodies of functions."""
    for m in re.finditer(
            r"^(?:(\w[^\n;={}]*\([^\n;{}]*(?:\n[^\n{};]+)*\))\n\{(.*?)^\}|"
            r"(\w[^\n;={}]*\([^\n;{}]*\)) \{(.*?)\}$)", text, re.M | re.S):
        signature = m.group(1) or m.group(3)
        kind = re.sub(
            r"\b(static|inline|extern|const|_Thread_local|GR\w+|__attribute__\(\(.*?\)\))\s*", "",
            signature)
        kind = re.match(r"\w*\s*(?:\w+\s+)*?\**(?=\w+\s*\()", kind)
        body = 2 if m.group(2) is not None else 4
        yield m.start(body), m.end(body), kind.group(0).strip() if kind else ""


def aside(text, begin, end):
    """Spans that hold no site: what assertions, messages and sizeof enclose, and how finely work is
    cut into pieces."""
    spans = []
    for m in re.finditer(r"\b(\w+)\s*\(", text[begin:end]):
        at = begin + m.end() - 1
        if m.group(1) in ASIDE | NO_MATTER:
            spans.append((begin + m.start() - (m.group(1) in NO_MATTER), matching(text, at)))
    for m in re.finditer(r"[^,;(){}]*\bGR__GRAIN\b[^,;{}]*", text[begin:end]):
        spans.append((begin + m.start(), begin + m.end()))
    # Sizes of arrays.
    for m in re.finditer(r"^ *(?:static |const |unsigned )*[a-z]\w+ +\**\w+\b[^()\n]*;",
            text[begin:end], re.M):
        if not re.match(r" *return\b", m.group(0)):
            spans += [(begin + m.start() + n.start(), begin + m.start() + n.end())
                      for n in re.finditer(r"\w\[[^]]*\](?=[,;])", m.group(0))
                      if "=" not in m.group(0)[:n.start()].split(",")[-1]]
    return spans


def numbers(token):
    if re.fullmatch(r"\d+", token):
        n = int(token)
        return [str(n + 1)] + ([str(n - 1)] if n > 0 else [])
    if re.fullmatch(r"(\d+\.\d*|\.\d+|\d+)([eE][-+]?\d+)?[fF]?", token):
        x = float(token.rstrip("fF"))
        return [repr(2 * x) if x else "1.0"]
    if re.fullmatch(r"\d+[uUlL]+", token):
        n = re.match(r"\d+", token).group(0)
        return [str(int(n) + 1) + token[len(n):]]
    return []


def from_token(text, tokens, k):
    """(operator, begin, end, replacement) of the changes at a token."""
    word, at = tokens[k]
    last = tokens[k - 1][0] if k else "{"
    spaced = text[at - 1] == " " and text[at + len(word)] == " "
    end = at + len(word)
    if word in COMPARED and spaced:
        yield from ((op, at, end, new) for op, new in COMPARED[word])
    elif word in ("&&", "||"):
        yield "logic", at, end, "||" if word == "&&" else "&&"
    elif word in ("+", "-", "*", "/") and spaced and last not in BEFORE_UNARY:
        yield ("sign" if word in "+-" else "factor"), at, end, {"+": "-", "-": "+", "*": "/",
            "/": "*"}[word]
    elif word == "-" and last in BEFORE_UNARY:
        yield "sign", at, end, ""
    elif word in ("+=", "-=", "*=", "/="):
        yield ("sign" if word[0] in "+-" else "factor"), at, end, {"+=": "-=", "-=": "+=",
            "*=": "/=", "/=": "*="}[word]
    elif word == "!":
        yield "negation", at, end, ""
    elif word in ("true", "false"):
        yield "constant", at, end, "false" if word == "true" else "true"
    elif word[0].isdigit() or (word[0] == "." and len(word) > 1 and word[1].isdigit()):
        yield from (("constant", at, end, new) for new in numbers(word))
    elif word == "[" and re.match(r"[\w)\]]", last) and k > 1 and last not in KEYWORDS:
        close = matching(text, at)
        inside = text[at + 1:close].strip()
        declared = re.match(r"\w", tokens[k - 2][0]) and tokens[k - 2][0] not in KEYWORDS
        if inside and not declared and not re.fullmatch(r"\d+|[A-Z_]+", inside):
            yield "index", at + 1, close, "(" + text[at + 1:close] + ") + 1"
            yield "index", at + 1, close, "(" + text[at + 1:close] + ") - 1"
    elif word in ("if", "while") and k + 1 < len(tokens) and tokens[k + 1][0] == "(":
        open_, close = tokens[k + 1][1], matching(text, tokens[k + 1][1])
        if text[close + 1:close + 2] != ";" or word == "if":
            yield "check", open_ + 1, close, "0 && (" + text[open_ + 1:close] + ")"
            if word == "if":
                yield "check", open_ + 1, close, "1 || (" + text[open_ + 1:close] + ")"


def from_return(text, at, end, kind):
    """The change of a returned value, by the function's type."""
    close = text.index(";", at)
    value = text[at + 6:close].strip()
    if not value or close > end:
        return
    begin = text.index(value, at + 6)
    if kind == "bool":
        yield "return", begin, close, "!(" + value + ")"
    elif "*" in kind and value != "NULL":
        yield "return", begin, close, "((void)(" + value + "), NULL)"
    elif kind in ("int", "int64_t", "double", "gr_real", "float", "ptrdiff_t",
            "long") and not re.fullmatch(r"[\d.]+", value):
        yield "return", begin, close, "-(" + value + ")"
    elif kind in ("size_t", "uint64_t", "uint32_t", "unsigned") and not re.fullmatch(r"[\d.]+",
            value):
        yield "return", begin, close, "(" + value + ") + 1"


def deletable(s):
    word = re.match(r"\w*", s).group(0)
    if s in ("break;", "continue;"):
        return True
    if word in KEYWORDS or s.startswith("(void)") or word in NO_MATTER or not s.endswith(";"):
        return False
    if s.count("(") != s.count(")") or s.count("[") != s.count("]"):
        return False
    if re.match(r"[a-z_]\w*\(", s) or re.fullmatch(r"\*?[\w.>\[\]-]+(\+\+|--);", s):
        return True
    return bool(
        re.match(r"\**[a-z_](?:\w|\.|->|\[[^\]]*\])*(?:\(\w+\))?(?:\[[^\]]*\])? [-+*/|&^%]?=(?!=)",
            s))


def deletions(text, begin, end):
    """Statements, each on a line of its own, and those of a body that is one line."""
    if "\n" not in text[begin:end]:
        at = begin
        for part in text[begin:end].split(";")[:-1]:
            s = part.strip() + ";"
            where = at + len(part) - len(part.lstrip())
            if deletable(s):
                yield "deletion", where, at + len(part), ""
            at += len(part) + 1
        return
    at, before = begin, "{"
    for line in text[begin:end].split("\n"):
        s = line.strip()
        whole = before[-1:] in ";{}):" or before.endswith("else") or before.endswith("do")
        if s and whole and deletable(s):
            where = at + len(line) - len(line.lstrip())
            yield "deletion", where, where + len(s) - 1, ""
        if s:
            before = s
        at += len(line) + 1


def sites_of(path, text):
    """All changes of a file, as dicts; equal changes to equal lines are one."""
    code, seen, sites = blank(text), set(), []
    starts = [0] + [i + 1 for i, c in enumerate(text) if c == "\n"]
    lines = text.split("\n")

    def add(op, begin, end, new):
        line = bisect.bisect_right(starts, begin) - 1
        if "\n" in text[begin:end]:
            return
        new = new.replace(code[begin:end], text[begin:end]) if code[begin:end] else new
        left, right = begin - starts[line], end - starts[line]
        before = lines[line]
        after = before[:left] + new + before[right:]
        key = (before.strip(), after.strip(), op)
        if key in seen:
            return
        seen.add(key)
        sites.append({"file": path, "line": line + 1, "operator": op, "before": before.strip(),
                      "after": after.strip(), "left": left, "right": right, "new": new})

    for begin, end, kind in functions(code):
        spans = aside(code, begin, end)
        tokens = [(m.group(0), begin + m.start()) for m in TOKEN.finditer(code[begin:end])]
        found = []
        for k, (word, at) in enumerate(tokens):
            found += from_token(code, tokens, k)
            if word == "return":
                found += from_return(code, at, end, kind)
        found += deletions(code, begin, end)
        for op, a, b, new in found:
            if not any(s <= a <= e for s, e in spans) or (op in ("return", "deletion")
                    and not any(s < a <= e for s, e in spans)):
                add(op, a, b, new)
    return sites


def all_sites(seed, patterns):
    sites = []
    for path in library_sources():
        if path.split("/")[1] in ROOMS and any(fnmatch.fnmatch(path, p) for p in patterns):
            with open(os.path.join(SOURCE, path), encoding="utf-8") as f:
                sites += sites_of(path, f.read())
    for s in sites:
        key = "\0".join([str(seed), s["file"], s["operator"], s["before"], s["after"]])
        s["order"] = hashlib.sha256(key.encode()).hexdigest()
    return sorted(sites, key=lambda s: s["order"])


# ---- the build -----------------------------------------------------------------------------------

@functools.lru_cache
def library_sources():
    found = []
    for room in ROOMS + PAGES + ["kernels"]:
        with open(os.path.join(SOURCE, "lib", room, "Makefile.inc"), encoding="utf-8") as f:
            found += re.findall(r"(?:^\s+|= )(lib/\w+/\w+\.c)\b(?!:)", f.read(), re.M)
    return sorted(set(found))


@functools.lru_cache
def test_programs():
    """name -> (source, double) of the programs that use Check."""
    with open(os.path.join(SOURCE, "tests", "Makefile.inc"), encoding="utf-8") as f:
        text = f.read()
    wanted = re.search(r"^unit_tests = \\\n((?:.*\\\n)*.*\n)", text, re.M).group(1)
    programs = {}
    for name in re.findall(r"tests/(\w+)", wanted):
        source = re.search(r"^tests_%s_SOURCES = (\S+)" % name, text, re.M).group(1)
        programs[name] = (source,
            bool(re.search(r"^tests_%s_CPPFLAGS = .*GRADUS_DOUBLE" % name, text, re.M)))
    return programs


class Build:
    """One configuration of the library: its objects, its test programs, what they cover."""

    def __init__(self, top, name, flags):
        self.top, self.name, self.flags = top, name, flags
        self.folder = os.path.join(top.folder, name)
        os.makedirs(self.folder, exist_ok=True)
        self.programs = [p for p, (_, double) in test_programs().items() if double
            == ("DOUBLE" in flags)]

    def object(self, path, how):
        return os.path.join(self.folder, how, path.replace("/", "-")[:-2] + ".o")

    def compile(self, path, out, how, cwd, cc):
        env = self.top.env
        flags = {"mutant": "-O1", "kernel": "-O2 " + env["KERNEL_CFLAGS"],
                 "covered": "-O0 -g -fsanitize-coverage=trace-pc", "test": "-O1 -I"
                 + os.path.join(self.top.copy, "tests/mutate")}[how]
        if path == "lib/io/stb.c":
            flags += " -fwrapv"
        if path.startswith("lib/kernels/"):
            flags += " -DGR__ISA=baseline"
        command = cc.split() + ("-std=gnu11 -w -fPIC -pthread -Iinclude -Ilib -I. "
            + env["CPPFLAGS"] + " " + self.flags + " " +
                                flags).split() + ["-c", path, "-o", out]
        return subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=False)

    def link(self, out, objects, cwd, *more):
        command = self.top.cc.split()[-1:] + ["-o", out, "-pthread", *objects,
            *more] + self.top.env["LIBS"].split()
        r = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=False)
        if r.returncode:
            sys.exit("mutate: " + r.stdout)

    def jobs(self, all_of_it):
        """What is to be compiled: (path, out, how)."""
        for path in library_sources() if all_of_it else []:
            room = path.split("/")[1]
            if room in ROOMS:
                yield path, self.object(path, "mutant"), "mutant"
                yield path, self.object(path, "covered"), "covered"
            else:
                yield path, self.object(path, "kernel"), "kernel"
        for path in ["tests/support.c", "tests/mutate/check.c",
                "tests/mutate/coverage.c"] if all_of_it else []:
            yield path, self.object(path, "test"), "test"
        for name in self.new:
            yield test_programs()[name][0], self.object(name + ".c", "test"), "test"

    def libraries(self):
        def of(how):
            return [self.object(p, how if p.split("/")[1] in ROOMS else "kernel")
                for p in library_sources()]
        for how in ["mutant", "covered"]:
            os.makedirs(os.path.join(self.folder, how + "-lib"), exist_ok=True)
            more = [self.object("tests/mutate/coverage.c", "test")] if how == "covered" else []
            self.link(os.path.join(self.folder, how + "-lib", "libmutant.so"), of(how) + more,
                self.folder, "-shared")
        self.rest = [self.object(p, "kernel") for p in library_sources()
            if p.split("/")[1] not in ROOMS]
        for name in self.programs:
            self.link(os.path.join(self.folder, name),
                [self.object(name + ".c", "test"), self.object("tests/support.c", "test"),
                    self.object("tests/mutate/check.c", "test")], self.folder,
                "-L" + os.path.join(self.folder, "mutant-lib"), "-lmutant")

    def measure(self):
        """Runs every new test for its time, and those that are fast once more for what they
        cover."""
        each(self.new, self.top.options.jobs, self.measure_one)

    def measure_one(self, program):
        covered = os.path.join(self.folder, "coverage")
        top, scratch = self.top, os.path.join(self.top.scratch, self.name + "." + program)
        os.makedirs(scratch, exist_ok=True)

        def rows(how, most, names, save):
            out = top.run(self, program, ["list", str(most)] + names,
                os.path.join(self.folder, how + "-lib"), scratch, 1200, save)[1]
            return [r.split("\t") for r in out.splitlines() if r.count("\t") == 2]
        found = rows("mutant", top.options.fast, [], None)
        for name, seconds, how in found:
            if how != "ok":
                print("mutate: %s: %s is %s without a change, and left out" % (program, name, how),
                    flush=True)
        fast = {name: float(s) for name, s, how in found if how == "ok"
            and float(s) <= top.options.fast}
        seen = [name for name, _, how in rows("covered", 100, list(fast), covered) if how
            == "ok"] if fast else []
        for name in set(fast) - set(seen):
            print("mutate: %s: %s fails where its lines are counted, and is left out"
                % (program, name), flush=True)
        self.tests.update({program + "." + name: fast[name] for name in seen})
        print("mutate: %s: %d tests of %d are fast" % (program, len(seen), len(found)), flush=True)

    def covered_lines(self):
        """file -> line -> the tests that run it."""
        library = os.path.join(self.folder, "covered-lib", "libmutant.so")
        dump = subprocess.run(["objdump", "-d", "--no-show-raw-insn", library],
            stdout=subprocess.PIPE, text=True, check=True).stdout
        blocks = []
        for m in re.finditer(r"call\s+\w+ <__sanitizer_cov_trace_pc.*>\n(?:\n.*:\n)?\s*(\w+):",
                dump):
            blocks.append(int(m.group(1), 16))
        blocks.sort()
        ran = {}
        for test in self.tests:
            with open(os.path.join(self.folder, "coverage", test), encoding="utf-8") as f:
                for line in f:
                    ran.setdefault(int(line, 16), []).append(test)
        table = subprocess.run(["objdump", "--dwarf=decodedline", "-WL", library],
            stdout=subprocess.PIPE, text=True, check=True).stdout
        rows, path = [], None
        # A unit is named without its folder; units of the same name come in the order in which they
        # were linked.
        units = {}
        for p in library_sources():
            if p.split("/")[1] in ROOMS:
                units.setdefault(os.path.basename(p), []).append(p)
        for line in table.splitlines():
            m = re.match(r"(?:CU: )?(\S*\.[ch]):(?:\[\+\+\])?$", line)
            if m:
                path = m.group(1)[2:] if m.group(1).startswith("./") else m.group(1)
                if path in units:
                    path = units[path].pop(0) if len(units[path]) > 1 else units[path][0]
                continue
            m = re.match(r"\S+\s+(\d+|-)\s+(0x[0-9a-f]+|0)\b", line)
            if m and path:
                rows.append((int(m.group(2), 16), path, 0 if m.group(1) == "-"
                    else int(m.group(1))))
        rows.sort(key=lambda r: r[0])
        lines = {}
        for i, (at, path, number) in enumerate(rows):
            if not number or path not in library_sources():
                continue
            after = rows[i + 1][0] if i + 1 < len(rows) else at + 1
            tests = lines.setdefault(path, {}).setdefault(number, set())
            first = max(0, bisect.bisect_right(blocks, at + 5) - 1)
            for b in blocks[first:bisect.bisect_left(blocks, after + 5, first)] or blocks[
                    first:first + 1]:
                tests.update(ran.get(b, []))
        return {p: {n: sorted(t) for n, t in ls.items()} for p, ls in lines.items()}

    def tests_of(self, path, line):
        lines = self.lines.get(path, {})
        return next((lines[n] for n in range(line, max(0, line - 12), -1) if n in lines), [])


class Top:
    """The copy of the sources, the builds, and how programs are run."""

    def __init__(self, options):
        self.options = options
        self.env = {k: os.environ.get(k, "") for k in ["CPPFLAGS", "KERNEL_CFLAGS", "LIBS"]}
        self.cc = os.environ.get("CC", "gcc")
        self.folder = os.path.abspath(options.folder)
        self.copy = os.path.join(self.folder, "source")
        self.scratch = os.path.join(self.folder, "scratch")
        os.makedirs(self.scratch, exist_ok=True)
        self.stopped = False

    def fresh_copy(self):
        for part in ["include", "lib", "tests", "examples"]:
            shutil.rmtree(os.path.join(self.copy, part), ignore_errors=True)
            shutil.copytree(os.path.join(SOURCE, part), os.path.join(self.copy, part),
                            copy_function=shutil.copyfile,
                            ignore=shutil.ignore_patterns("*.o", "*.lo", "*.la", ".libs", "html",
                                "corpus"))
        for room in PAGES:
            assets = os.path.join("lib", room, "assets.c")
            shutil.copyfile(assets, os.path.join(self.copy, assets))

    def digest(self, wanted):
        """Of the files of the copy that are wanted."""
        h = hashlib.sha256(repr((self.env, self.cc, self.options.fast)).encode())
        for folder, inner, files in os.walk(self.copy):
            inner.sort()
            for f in sorted(files):
                path = os.path.relpath(os.path.join(folder, f), self.copy)
                if f.endswith((".c", ".h")) and wanted(path):
                    h.update(path.encode())
                    with open(os.path.join(folder, f), "rb") as data:
                        h.update(data.read())
        return h.hexdigest()

    def prepare(self):
        """Compiles and measures what has changed since the last time."""
        self.fresh_copy()
        self.builds = [Build(self, "float", "-DGR_MUTATE"),
            Build(self, "double", "-DGRADUS_DOUBLE")]
        record = os.path.join(self.folder, "measured.json")
        sources = {s for s, _ in test_programs().values()}
        whole = self.digest(lambda path: path not in sources)
        digests = {p: self.digest(lambda path, s=s: path == s)
            for p, (s, _) in test_programs().items()}
        kept = {}
        if os.path.exists(record):
            with open(record, encoding="utf-8") as f:
                kept = json.load(f)
        if kept.get("whole") != whole:
            kept = {"whole": whole, "programs": {}}
        jobs = []
        for b in self.builds:
            for how in ["mutant", "covered", "kernel", "test", "coverage"]:
                os.makedirs(os.path.join(b.folder, how), exist_ok=True)
            b.new = [p for p in b.programs if kept["programs"].get(p, [""])[0] != digests[p]]
            jobs += [(b, *j) for j in b.jobs(not kept["programs"])]
        if jobs:
            print("mutate: %d files to compile" % len(jobs), flush=True)
        each(jobs, self.options.jobs, self.compile_one)
        for b in self.builds:
            b.libraries()
            b.tests = {t: s for p in b.programs if p not in b.new
                for t, s in kept["programs"][p][1].items()}
            b.measure()
            for p in b.new:
                kept["programs"][p] = [digests[p],
                    {t: s for t, s in b.tests.items() if t.startswith(p + ".")}]
            with open(record + ".new", "w", encoding="utf-8") as f:
                json.dump(kept, f)
            os.replace(record + ".new", record)
            b.lines = b.covered_lines()

    def compile_one(self, job):
        build, path, out, how = job
        r = build.compile(path, out, how, self.copy, self.cc)
        if r.returncode:
            print("mutate: " + r.stdout, flush=True)
            os._exit(1)

    def run(self, build, program, args, library, scratch, limit, coverage=None):
        """(status, output) of a test program, with all its children gone."""
        env = dict(os.environ, LD_LIBRARY_PATH=library, srcdir=self.copy, TMPDIR=scratch,
            MALLOC_PERTURB_="165")
        for name in ["GRADUS_MNIST", "MAKEFLAGS", "MFLAGS", "MAKELEVEL"]:
            env.pop(name, None)
        if coverage:
            env["MUTATE_COVERAGE"] = coverage
        with open(os.path.join(scratch, "output"), "w+", encoding="utf-8", errors="replace") as out:
            p = subprocess.Popen([os.path.join(build.folder, program)] + args, cwd=scratch, env=env,
                                 stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.DEVNULL,
                                 start_new_session=True, preexec_fn=None if coverage else limits)
            try:
                status = p.wait(limit)
            except subprocess.TimeoutExpired:
                status = None
            try:
                os.killpg(p.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            p.wait()
            out.seek(0)
            return status, out.read()


def limits():
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def each(items, jobs, fn):
    """fn of every item, on several threads."""
    todo, lock = list(reversed(items)), threading.Lock()

    def work():
        while True:
            with lock:
                if not todo:
                    return
                item = todo.pop()
            fn(item)
    threads = [threading.Thread(target=work) for _ in range(jobs)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


# ---- mutants -------------------------------------------------------------------------------------

class Worker:
    """A copy of lib/ in which one file at a time is changed."""

    def __init__(self, top, number):
        self.top, self.folder = top, os.path.join(top.folder, "worker%d" % number)
        shutil.rmtree(self.folder, ignore_errors=True)
        for part in ["include", "lib"]:
            shutil.copytree(os.path.join(top.copy, part), os.path.join(self.folder, part))
        self.scratch = os.path.join(self.folder, "scratch")

    def try_build(self, build, site):
        """(outcome, test) in one configuration."""
        top, path = self.top, site["file"]
        tests = [t for t in build.tests_of(path, site["line"]) if t in build.tests]
        out = os.path.join(self.folder, "mutant.o")
        if build.compile(path, out, "mutant", self.folder, top.cc.split()[-1]).returncode:
            return "not compiled", ""
        with open(out, "rb") as a, open(build.object(path, "mutant"), "rb") as b:
            if a.read() == b.read():
                return "same code", ""
        if not tests:
            return "survived", "not covered"
        objects = [out if p == path else build.object(p, "mutant") for p in library_sources()
            if p.split("/")[1] in ROOMS]
        library = os.path.join(self.folder, build.name)
        os.makedirs(library, exist_ok=True)
        build.link(os.path.join(library, "libmutant.so"), objects + build.rest, self.folder,
            "-shared")
        return self.try_tests(build, library, sorted(tests, key=lambda t: (build.tests[t], t)))

    def try_tests(self, build, library, tests):
        while tests and not self.top.stopped:
            program, some = tests[0].split(".")[0], []
            while tests and tests[0].split(".")[0] == program:
                some.append(tests.pop(0))
            args = ["try"] + ["%s=%.3f" % (t.split(".")[1], build.tests[t]) for t in some]
            shutil.rmtree(self.scratch, ignore_errors=True)
            os.makedirs(self.scratch)
            most = 60 + sum(50 * build.tests[t] for t in some)
            status, out = self.top.run(build, program, args, library, self.scratch, most)
            if status != 0:
                said = re.search(r"^(killed|timeout)\t(\S+)$", out, re.M)
                if status is None or (said and said.group(1) == "timeout"):
                    return "timeout", program + ("." + said.group(2) if said else "")
                return "killed", program + ("." + said.group(2) if said else "")
        return "survived", ""

    def run(self, site):
        start, path = time.time(), os.path.join(self.folder, site["file"])
        with open(os.path.join(self.top.copy, site["file"]), encoding="utf-8") as f:
            lines = f.read().split("\n")
        kept, line = lines[:], lines[site["line"] - 1]
        lines[site["line"] - 1] = line[:site["left"]] + site["new"] + line[site["right"]:]
        with open(path, "w", encoding="utf-8") as f:
            f.write("\n".join(lines))
        found = []
        for build in self.top.builds:
            found.append(self.try_build(build, site))
            if found[-1][0] in ("killed", "timeout", "not compiled"):
                break
        with open(path, "w", encoding="utf-8") as f:
            f.write("\n".join(kept))
        outcome, test = found[-1]
        if outcome in ("survived", "same code"):
            outcome = "same code" if all(o == "same code" for o, _ in found) else "survived"
            test = "not covered" if outcome == "survived" and all(t == "not covered" or o
                == "same code" for o, t in found) else ""
        row = {k: str(site[k]) for k in ["file", "line", "operator", "before", "after"]}
        return {**row, "outcome": outcome, "test": test, "seconds": "%.1f" % (time.time() - start)}


def read_table(path, columns):
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as f:
        rows = [line.rstrip("\n").split("\t") for line in f if line.strip()
            and not line.startswith("#")]
    return [dict(zip(columns, r)) for r in rows if r[0] != columns[0]]


def write_table(path, seed, rows):
    with open(path + ".new", "w", encoding="utf-8") as f:
        f.write("# seed %s\n" % seed + "\t".join(COLUMNS) + "\n")
        for r in rows:
            f.write("\t".join(r[c].replace("\t", " ") for c in COLUMNS) + "\n")
    os.replace(path + ".new", path)


def same(row):
    return row["file"], row["operator"], row["before"], row["after"]


def read_reasons():
    rows = read_table(os.path.join(HERE, "explained.tsv"),
        ["file", "operator", "before", "after", "reason"])
    return {same(r): r["reason"] for r in rows}


class Run:
    def __init__(self, top, options):
        self.top, self.options, self.lock = top, options, threading.Lock()
        self.rows = read_table(options.table, COLUMNS)
        if self.rows and not options.again:
            with open(options.table, encoding="utf-8") as f:
                seed = f.readline().split()
            if seed[:2] != ["#", "seed"] or seed[2] != options.seed:
                sys.exit("mutate: %s is of another seed: move it away" % options.table)

    def go_on(self):
        """New rows until there are enough mutants. They are written in the order of the seed."""
        done = {same(r) for r in self.rows}
        sites = iter([s for s in all_sites(self.options.seed, self.options.files)
            if same(s) not in done])
        waiting, order = {}, {"taken": 0, "written": 0}
        count = sum(r["outcome"] in ("killed", "survived", "timeout") for r in self.rows)
        state = {"count": count, "flying": 0}

        def work(worker):
            while True:
                with self.lock:
                    if self.top.stopped or state["count"] >= self.options.mutants:
                        return
                    site = next(sites, None)
                    if site is None:
                        return
                    mine, order["taken"] = order["taken"], order["taken"] + 1
                row = worker.run(site)
                with self.lock:
                    if self.top.stopped:
                        return
                    waiting[mine] = row
                    while order["written"] in waiting and state["count"] < self.options.mutants:
                        row = waiting.pop(order["written"])
                        order["written"] += 1
                        row["number"] = str(len(self.rows) + 1)
                        self.rows.append(row)
                        state["count"] += row["outcome"] in ("killed", "survived", "timeout")
                        self.tell(row)
                    write_table(self.options.table, self.options.seed, self.rows)
        self.workers(work)

    def again(self):
        """Rows of the table once more, in their places."""
        sites = {same(s): s for s in all_sites(self.options.seed, ["*"])}
        reasons = read_reasons()
        todo = [r for r in self.rows if self.options.again == "all"
            or (r["outcome"] == "survived" and same(r) not in reasons)]
        with open(self.options.table, encoding="utf-8") as f:
            seed = f.readline().split()[2]

        def work(worker):
            while True:
                with self.lock:
                    if self.top.stopped or not todo:
                        return
                    row = todo.pop(0)
                site = sites.get(same(row))
                new = worker.run(site) if site else {"outcome": "gone", "test": ""}
                with self.lock:
                    if self.top.stopped:
                        return
                    row.update(new)
                    self.tell(row)
                    write_table(self.options.table, seed, self.rows)
        self.workers(work)

    def tell(self, row):
        print("%4s %-12s %s:%s %s: %s  ->  %s  %s"
            % (row["number"], row["outcome"], row["file"], row["line"], row["operator"],
              row["before"], row["after"], row["test"]), flush=True)

    def workers(self, work):
        threads = [threading.Thread(target=work, args=(Worker(self.top, i),))
            for i in range(self.options.jobs)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()

    def report(self):
        """The score, and the survivors that nothing explains. True if there are none, and few are
        explained."""
        reasons = read_reasons()
        mutants = [r for r in self.rows if r["outcome"] in ("killed", "survived", "timeout")]
        left = [r for r in mutants if r["outcome"] == "survived"]
        explained = [r for r in left if same(r) in reasons]
        for r in left:
            if same(r) not in reasons:
                self.tell(r)
        for name in ROOMS + ["all"]:
            of = [r for r in mutants if name in ("all", r["file"].split("/")[1])]
            dead = [r for r in of if r["outcome"] != "survived"]
            if of:
                print("mutate: %-8s %4d mutants, %4d killed (%.1f %%), %d of the others explained"
                    % (name, len(of), len(dead),
                      100 * len(dead) / len(of), len([r for r in of if r in explained])))
        return len(left) == len(explained) and 20 * len(explained) <= len(mutants)


def main():
    p = argparse.ArgumentParser(description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--mutants", type=int, default=500)
    p.add_argument("--seed", default="1")
    p.add_argument("--jobs", type=int, default=2)
    p.add_argument("--fast", type=float, default=1)
    p.add_argument("--files", type=str.split, default=["*"])
    p.add_argument("--again", choices=["", "survived", "all"], default="")
    p.add_argument("--table", default="mutants.tsv")
    p.add_argument("--folder", default="mutate-build")
    p.add_argument("--sites", action="store_true", help="only list the changes that there are")
    options = p.parse_args()
    if options.sites:
        for s in all_sites(options.seed, options.files):
            print("%s:%d\t%s\t%s\t%s" % (s["file"], s["line"], s["operator"], s["before"],
                s["after"]))
        return
    top = Top(options)
    run = Run(top, options)
    top.prepare()

    def stop(*_):
        top.stopped = True
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    run.again() if options.again else run.go_on()
    sys.exit(0 if run.report() and not top.stopped else 1)


if __name__ == "__main__":
    main()
