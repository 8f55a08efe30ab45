"""Holds the code to its size budgets: `python scripts/size_budgets.py [FOLDER]`.

An exception is a comment beside the code that says why: `# size: reason` on the line of the `def`,
`class` or `except`, or on the line before it; `# size module: reason` anywhere in a module that is
too long.
"""

from __future__ import annotations

import ast
import io
import re
import statistics
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MEDIAN, P90, LONGEST, MODULE, ARGUMENTS = 8, 25, 60, 400, 6
DEPTH, EXCEPTION_DEPTH = 1, 3
BANNED = {"util", "utils", "helper", "helpers", "common", "misc", "base", "manager", "handler"}
BANNED |= {"processor", "wrapper", "factory"}
PLUGINS = {"steps", "metrics", "formats", "runtimes", "sources", "shifts", "checks", "curators"}
BROAD = {"Exception", "BaseException"}
OUTERMOST = {"cli/__init__.py", "serve/__init__.py"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One source file, read once."""

    path: Path
    """Relative to the folder that is checked."""
    tree: ast.Module
    """Its syntax tree."""
    code: frozenset[int]
    """Numbers of the lines that hold code: no blank, no comment, no docstring."""
    excused: frozenset[int]
    """Lines covered by a `# size: reason`."""
    long: bool
    """Whether a `# size module: reason` stands in it."""

    def lines(self, start: int, end: int | None) -> int:
        """Lines of code from `start` to `end`, both included."""
        return sum(start <= line <= (end or start) for line in self.code)

    def functions(self) -> Iterator[Function]:
        """Every function and method, nested ones too."""
        return (node for node in ast.walk(self.tree) if isinstance(node, Function))


def read(path: Path, root: Path) -> Module:
    """Parse one file."""
    text = path.read_text()
    tree = ast.parse(text)
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    silent = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    silent.add(tokenize.ENDMARKER)
    spoken = (t for t in tokens if t.type not in silent)
    code = {line for t in spoken for line in range(t.start[0], t.end[0] + 1)}
    comments = {t.start[0]: t.string for t in tokens if t.type == tokenize.COMMENT}
    excused = {n for n, c in comments.items() if re.match(r"# size: \S", c)}
    return Module(
        path=path.relative_to(root),
        tree=tree,
        code=frozenset(code - _docstrings(tree)),
        excused=frozenset(excused | {n + 1 for n in excused}),
        long=any(re.match(r"# size module: \S", c) for c in comments.values()),
    )


def problems(root: Path) -> list[str]:
    """Every line of code under a folder that breaks a budget."""
    modules = [read(path, root) for path in sorted(root.rglob("*.py"))]
    found = [f"{m.path}: {line}" for m in modules for line in _in_module(m)]
    sizes = [_body(m, f) for m in modules for f in m.functions()] or [0]
    median, p90 = statistics.median(sizes), statistics.quantiles(sizes + sizes[:1], n=10)[-1]
    if median > MEDIAN:
        found.append(f"the median function has {median:g} lines of code, the budget is {MEDIAN}")
    if p90 > P90:
        found.append(f"a tenth of the functions have over {p90:g} lines, the budget is {P90}")
    return found + _too_deep(modules)


def code_lines(root: Path) -> int:
    """Lines of code of all modules under a folder."""
    return sum(len(read(path, root).code) for path in root.rglob("*.py"))


def _docstrings(tree: ast.Module) -> set[int]:
    # Any string that stands alone: docstrings of modules, classes and functions, and the lines that
    # describe a field.
    alone = (
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if isinstance(node.value.value, str)
    )
    return {n for node in alone for n in range(node.lineno, (node.end_lineno or node.lineno) + 1)}


def _in_module(module: Module) -> Iterator[str]:
    if len(module.code) > MODULE and not module.long:
        yield f"{len(module.code)} lines of code, the budget is {MODULE}"
    if module.path.stem in BANNED:
        yield f"'{module.path.stem}' says nothing of what is in it"
    for function in module.functions():
        if function.lineno not in module.excused:
            yield from _in_function(module, function)
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef) and node.lineno not in module.excused:
            words = {word.lower() for word in re.findall(r"[A-Z][a-z]*", node.name)}
            if words & BANNED:
                yield f"{node.lineno}: '{node.name}' says nothing of what it is"
        if isinstance(node, ast.ExceptHandler) and node.lineno not in module.excused:
            yield from _in_handler(module, node)


def _in_function(module: Module, function: Function) -> Iterator[str]:
    where = f"{function.lineno}: {function.name}"
    size, arguments = _body(module, function), _arguments(function)
    if size > LONGEST:
        yield f"{where} has {size} lines of code, the budget is {LONGEST}"
    is_plugin = module.path.parent.name in PLUGINS and function.name == module.path.stem
    if arguments > ARGUMENTS and not is_plugin:
        yield f"{where} has {arguments} arguments, the budget is {ARGUMENTS}"
    if function.args.kwarg and not function.name.startswith("_"):
        yield f"{where} takes **{function.args.kwarg.arg}"


def _in_handler(module: Module, node: ast.ExceptHandler) -> Iterator[str]:
    caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
    broad = any(c is None or (isinstance(c, ast.Name) and c.id in BROAD) for c in caught)
    if broad and module.path.as_posix() not in OUTERMOST:
        yield f"{node.lineno}: catches everything"


def _body(module: Module, function: Function) -> int:
    return module.lines(function.body[0].lineno, function.end_lineno)


def _arguments(function: Function) -> int:
    every = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return len([a for a in every if a.arg not in {"self", "cls"}])


def _too_deep(modules: list[Module]) -> list[str]:
    classes = {n.name: n for m in modules for n in ast.walk(m.tree) if isinstance(n, ast.ClassDef)}

    def lineage(name: str) -> list[str]:
        """The longest chain of a class and those above it, up to a foreign one."""
        bases = classes[name].bases if name in classes else []
        above = (lineage(b.id) for b in bases if isinstance(b, ast.Name) and b.id != name)
        return [name, *max(above, key=len, default=[])]

    found = []
    for chain in map(lineage, classes):
        own = [name for name in chain if name in classes]
        limit = EXCEPTION_DEPTH if chain[-1] in BROAD else DEPTH
        if len(own) - 1 > limit:
            chain_text = " < ".join(own)
            found.append(f"{chain_text}: {len(own) - 1} levels, the budget is {limit}")
    return found


if __name__ == "__main__":
    root = Path(__file__).parent.parent
    lines = problems(Path(sys.argv[1]) if len(sys.argv) > 1 else root / "src" / "surefoot")
    print("\n".join(lines))
    sys.exit(bool(lines))
