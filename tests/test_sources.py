"""The sources keep their own rules: files that belong together exist, nogil functions say how they fail, no hints."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "fastcore"

pytestmark = [
    pytest.mark.artefact,
    pytest.mark.thin,
    pytest.mark.skipif(not SOURCE.is_dir(), reason="no sources here: only the installed package is tested"),
]

MODULES = sorted(".".join(p.relative_to(SOURCE).with_suffix("").parts) for p in SOURCE.rglob("*.pyx"))
# Loops for benchmarks, and the bases of modules that have all this: no twin, no test, no benchmark of its own.
PRIVATE = {"_bench", "_slots", "wire.tally", "wire._lines", "wire._forms", "wire._chain"}
# Where a twin would repeat the same ifs, or spell out a layout twice, tables of cases and laws are the oracle (for instruments:
# dictionaries). Twins may import these.
WITHOUT_TWIN = {"bookset", "clock", "instruments", "money", "records", "risk", "wire.lobster"}
# Layouts, and lookups that are those of another module: nothing of their own to time.
WITHOUT_BENCHMARK = {"instruments", "money", "records"}
# Parts of a run: its twin (reference/engine.py), its properties and its benchmark are those of the whole.
PARTS = {
    "desk", "journal", "market", "merge", "ring_source", "source", "stopwatch", "strategy", "sim.latency", "sim.markouts", "sim.queues",
    "sim.simulator", "strategies.batches", "strategies.compiled", "strategies.foreign", "strategies.hooks", "strategies.maker",
    "strategies.rows", "strategies.tape", "wire.itch_source",
}  # fmt: skip
CYTHON = sorted(SOURCE.rglob("*.pyx")) + sorted(SOURCE.rglob("*.pxd"))
HEADERS = sorted((SOURCE / "_c").glob("*.h"))


def code_of(path):
    """Return the text with strings and comments blanked, so that rules look at code alone; line numbers stay."""
    text = path.read_text(encoding="utf-8")
    pattern = r'"""[\s\S]*?"""|\'\'\'[\s\S]*?\'\'\'|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|#[^\n]*'
    if path.suffix == ".h":
        pattern = r'/\*[\s\S]*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"'
    return re.sub(pattern, lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def hits(pattern, path):
    """Return ``file:line: text`` of every match."""
    code = code_of(path)
    return [
        f"{path.relative_to(ROOT)}:{code.count(chr(10), 0, m.start()) + 1}: {m.group().strip()}"
        for m in re.finditer(pattern, code, re.MULTILINE)
    ]


def cimported(text):
    """Names that a module takes from contracts, as it calls them."""
    lists = re.findall(r"^from [\w.]+ cimport (\([^)]*\)|[^\n(]+)", text, re.MULTILINE)
    return {name.split(" as ")[-1].strip() for names in lists for name in names.strip("()").split(",")} - {"", "*"}


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.pyx")), ids=lambda path: path.stem)
def test_nothing_is_cimported_that_is_not_used(path):
    text = code_of(path)
    used = set(re.findall(r"\w+", re.sub(r"^from [\w.]+ cimport (\([^)]*\)|[^\n(]+)", "", text, flags=re.MULTILINE)))
    assert cimported(text) - used == set()


def setup_modules():
    """Return the tuple of modules in setup.py."""
    for node in ast.walk(ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "MODULES" for t in node.targets):
            return sorted(eval(compile(ast.Expression(node.value), "setup.py", "eval"), {}))
    raise AssertionError("setup.py assigns no MODULES")


def test_setup_lists_every_module_and_stays_short():
    assert setup_modules() == MODULES
    assert len((ROOT / "setup.py").read_text(encoding="utf-8").splitlines()) < 100


@pytest.mark.parametrize("name", MODULES)
def test_module_has_contract_stub_twin_tests_and_benchmark(name):
    place, stem = SOURCE.joinpath(*name.split(".")), name.rpartition(".")[2]
    wanted = [place.with_suffix(".pxd"), place.with_suffix(".pyi")]
    if name not in PRIVATE:
        wanted += [ROOT / "tests" / f"test_{stem}.py"]
        if name not in WITHOUT_TWIN | PARTS:
            wanted += [SOURCE / "reference" / f"{stem}.py"]
        if name not in WITHOUT_BENCHMARK | PARTS:
            wanted += [ROOT / "bench" / f"bench_{stem}.py"]
        if name not in {"records"} | PARTS:
            wanted += [ROOT / "tests" / f"test_{stem}_properties.py"]
    assert [str(p.relative_to(ROOT)) for p in wanted if not p.is_file()] == []


@pytest.mark.parametrize("name", MODULES)
def test_module_documents_itself(name):
    text = SOURCE.joinpath(*name.split(".")).with_suffix(".pyx").read_text(encoding="utf-8")
    head = re.sub(r"^(#[^\n]*\n|\s)*", "", text)
    assert head.startswith(('"""', 'r"""'))


def silent_nogil(code):
    """Return the heads of functions that say nogil and neither noexcept nor except: that costs about 100 ns a call."""
    wrong = []
    for match in re.finditer(r"^[ \t]*cp?def\b(?![ \t]+(?:extern|class|struct|enum|union))[^\n(]*\(", code, re.MULTILINE):
        depth, end = 1, match.end()
        while depth and end < len(code):
            depth += {"(": 1, ")": -1}.get(code[end], 0)
            end += 1
        tail = code[end : code.find("\n", end)]
        if re.search(r"\bnogil\b", tail) and not re.search(r"\b(?:noexcept|except)\b", tail):
            wrong.append(code[match.start() : end].strip() + tail)
    return wrong


@pytest.mark.parametrize("path", CYTHON, ids=lambda p: p.name)
def test_nogil_functions_say_how_they_fail(path):
    assert silent_nogil(code_of(path)) == []


def test_rule_about_nogil_bites():
    assert silent_nogil("cdef int f(int[:] a,\n    g(int)) nogil:\n    pass\n") != []
    assert silent_nogil("cdef inline int f(int a) noexcept nogil:\n    pass\ncdef int g() except -1 nogil:\n") == []


@pytest.mark.parametrize("path", CYTHON, ids=lambda p: p.name)
def test_integer_types_have_fixed_width(path):
    # `long` is 32 bits on Windows; `long long` is for C interfaces that say so.
    assert hits(r"(?<!\.)\b(?:unsigned\s+)?long\b(?!\s+(?:long|double))(?<!long long)", path) == []


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.pyx")), ids=lambda p: p.name)
def test_directives_live_in_setup(path):
    # A directive in a file overrides the build and would make the debug build a fake.
    directives = re.findall(r"^#\s*cython:\s*(.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert [d for d in directives if d.replace(" ", "") != "freethreading_compatible=True"] == []
    assert hits(r"@(?:cython\.)?(?:boundscheck|wraparound|cdivision|initializedcheck|nonecheck|binding)\b[^\n]*", path) == []
    assert hits(r"^\s*include\s[^\n]*", path) == []


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.pyx")), ids=lambda p: p.name)
def test_classes_are_final(path):
    code = code_of(path).splitlines()
    wrong = [
        f"{path.name}:{i + 1}: {line.strip()}"
        for i, line in enumerate(code)
        if re.match(r"cdef class (?!_|Source\b|Strategy\b)", line)  # the bases that others write classes on
        and not any("cython.final" in previous for previous in code[max(0, i - 3) : i])
    ]
    assert wrong == []


@pytest.mark.parametrize("path", sorted(p for p in SOURCE.parent.rglob("*.py*") if p.suffix in {".py", ".pyx"}), ids=lambda p: p.name)
def test_no_docstring_sends_its_reader_to_a_contract(path):  # help() shows none
    docstrings = re.findall(r'^[ \t]*r?"""[\s\S]*?"""', path.read_text(encoding="utf-8"), re.MULTILINE)
    assert [text for text in docstrings if re.search(r"`\S+\.pxd`|see \S+\.pxd", text)] == []


@pytest.mark.parametrize("path", HEADERS, ids=lambda p: p.name)
def test_header_functions_are_static_with_our_prefix(path):
    # Column 0, a return type, a name, an argument list and a body or a line end: a function definition.
    pattern = r"^(?!typedef|struct|enum|union|#|static_assert|_Static_assert|extern)[A-Za-z_][\w \t*]*?\b(\w+)\([^;{}]*\)\s*\{"
    code = code_of(path)
    wrong = []
    for match in re.finditer(pattern, code, re.MULTILINE):
        text = match.group().strip()
        # FC_ macros in front of a function spell out `static inline` and an attribute.
        if not re.search(r"\bstatic\b|^FC_\w+", text) or not match.group(1).startswith("fc_"):
            wrong.append(text)
    assert wrong == []


@pytest.mark.parametrize("path", [*CYTHON, *HEADERS], ids=lambda p: p.name)
def test_no_unfinished_or_switched_off_code(path):
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"\b(?:TODO|FIXME|XXX|HACK)\b[^\n]*", text) == []
    assert "\t" not in text
    assert [i + 1 for i, line in enumerate(text.splitlines()) if line != line.rstrip()] == []


@pytest.mark.parametrize("path", HEADERS, ids=lambda p: p.name)
def test_no_inline_assembly_outside_the_portability_headers(path):
    if path.name not in {"fc_atomic.h", "fc_cpu.h", "fc_platform.h"} and not path.name.startswith("fc_bench"):
        assert hits(r"\b__asm__\b|\basm\s*\(", path) == []
    assert hits(r"\btarget_clones\b|-march=native|\bifunc\b", path) == []


def test_fastcore_imports_numpy_and_the_standard_library_only():
    allowed = set(sys.stdlib_module_names) | {"numpy", "fastcore", "cython", "cpython", "libc", "posix"}
    wrong = []
    for path in [*SOURCE.rglob("*.py"), *CYTHON]:
        for match in re.finditer(r"^[ \t]*(?:from\s+([\w.]+)\s+c?import|c?import\s+([\w.]+))", code_of(path), re.MULTILINE):
            name = (match.group(1) or match.group(2)).split(".")[0]
            if name and name not in allowed:
                wrong.append(f"{path.relative_to(ROOT)}: {name}")
    assert wrong == []


def import_graph():
    """Return for every module of src what it imports of src: at its head, inside functions, for types alone, and by cimport."""
    paths = {}
    for path in sorted((ROOT / "src").rglob("*")):
        if path.suffix in {".py", ".pyx", ".pxd"} and "bench" not in path.parts:
            place = path.relative_to(ROOT / "src").with_suffix("").parts
            paths[path] = ".".join(place[:-1] if place[-1] == "__init__" else place)
    graph = {name: set() for name in paths.values()}
    lines = r"^[ \t]*(?:from[ \t]+(\.*)([\w.]*)[ \t]+c?import[ \t]+(\([^)]*\)|[^\n]*)|c?import[ \t]+([^\n]*))"
    for path, importer in paths.items():
        for dots, base, names, whole in re.findall(lines, code_of(path), re.MULTILINE):
            if whole:
                found = [item.split()[0] for item in whole.split(",")]
            else:
                if dots:  # from .x: of the package that the file is in
                    above = [*path.relative_to(ROOT / "src").parts[: -len(dots)], *filter(None, [base])]
                    base = ".".join(above)
                items = [item.split()[0] for item in names.strip("()").split(",") if item.strip()]
                found = [f"{base}.{item}" if f"{base}.{item}" in graph else base for item in items]
            graph[importer] |= {name for name in found if name in graph and name != importer}
    return graph


def circles(graph):
    """Return the part of a graph in which imports lead back to where they began."""
    left = {name: set(imports) for name, imports in graph.items()}
    while True:
        wanted = set().union(*left.values()) if left else set()
        ends = [name for name, imports in left.items() if not imports & left.keys() or name not in wanted]
        if not ends:
            return {name: sorted(imports & left.keys()) for name, imports in left.items()}
        for name in ends:
            del left[name]


def test_imports_run_one_way():
    graph = import_graph()
    assert {"fastcore.records", "fastcore.errors"} <= graph["fastcore.tickstore"]
    assert circles(graph) == {}


def test_rule_about_circles_bites():
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == {}
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}) == {"b": ["c"], "c": ["b"]}


def test_twins_do_not_import_compiled_modules():
    # Neither do the plain modules that they have in common with the compiled ones.
    graph = import_graph()
    shared = {f"fastcore.{name}" for name in WITHOUT_TWIN}
    compiled = {f"fastcore.{name}" for name in MODULES} - shared
    seen, left = set(), {name for name in graph if name.startswith("fastcore.reference")}
    while left:
        seen |= left
        left = set().union(*(graph[name] for name in left)) - seen - shared
    assert seen & compiled == set()


def imported(path):
    """Return the modules that a Python file imports, wherever it does so; a script in a string is read like code."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= set(re.findall(r"^ *(?:from|import) +(test_\w+|conftest)\b", node.value, re.MULTILINE))
            found |= set(re.findall(r"; *(?:from|import) +(test_\w+|conftest)\b", node.value))
    return found


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("*.py")), ids=lambda p: p.name)
def test_no_test_file_is_imported(path):
    # What several need is in makers/ and kit.py: a test can be moved or run alone.
    assert [name for name in imported(path) if name.startswith(("test_", "conftest"))] == []


@pytest.mark.slow
def test_cython_reports_no_performance_hint(tmp_path):
    pytest.importorskip("Cython")
    for name in ("fastcore",):
        target = tmp_path / name
        target.mkdir()
        for path in SOURCE.rglob("*.p*"):
            if path.suffix in {".pyx", ".pxd", ".py"}:
                (target / path.relative_to(SOURCE)).parent.mkdir(exist_ok=True)
                (target / path.relative_to(SOURCE)).write_bytes(path.read_bytes())
    script = (
        "import sys, glob\n"
        "from Cython.Compiler import Options\n"
        "from Cython.Build import cythonize\n"
        "cythonize(sorted(glob.glob('fastcore/**/*.pyx', recursive=True)), compiler_directives={'language_level': 3, 'cdivision': True,"
        " 'wraparound': False, 'boundscheck': False, 'auto_pickle': False, 'binding': False}, force=True, quiet=True,"
        " show_all_warnings=False)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": ""}
    )
    log = done.stdout + done.stderr
    assert done.returncode == 0, log
    assert [line for line in log.splitlines() if "performance hint" in line.lower()] == []
    assert [line for line in log.splitlines() if line.lower().startswith("warning:")] == []
