"""Looks for code in an exported program before torch sees it.

`torch.export.load` hands texts of the file to Python: symbolic sizes go to sympy's `eval`, guards
and names into generated code, operators are looked up by any dotted name, and descriptions of
inputs may import modules. Whatever is not of the few shapes that torch itself writes is refused.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from zipfile import ZipFile

_NAME = re.compile(r"[\w.+@:/-]*", re.ASCII)
_EXPRESSION = re.compile(r"[\w .,()\[\]'\"=+*/%<>!&|~-]*", re.ASCII)
_OPERATORS = "add sub mul truediv floordiv mod pow neg pos abs eq ne lt le gt ge and_ or_ xor not_"
_CONTROL = (
    "cond while_loop scan associative_scan map map_impl wrap_with_set_grad_enabled"
    " wrap_with_autocast out_dtype flex_attention invoke_subgraph"
)
# Two operators of aten read and write files.
_TARGET = re.compile(
    r"torch\.ops\.(aten|prims|quantized|quantized_decomposed|torchao|torchvision)"
    r"\.((?!__|from_file\b|save\b)\w+|__i?(and|or|xor|[lr]shift)__)\.(?!_)\w+"
    rf"|torch\.ops\.higher_order\.({_CONTROL.replace(' ', '|')})"
    rf"|_operator\.({_OPERATORS.replace(' ', '|')}|getitem|invert|lshift|rshift)"
    r"|math\.(?!_)\w+|torch\._?sym_\w+",
    re.ASCII,
)
_TREES = (None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict")
# Those of torch.utils._sympy.functions, and those of sympy and Python that stand beside them.
_FUNCTIONS = {
    "FloorDiv", "ModularIndexing", "Where", "PythonMod", "Mod", "CleanDiv", "CeilToInt",
    "FloorToInt", "CeilDiv", "LShift", "RShift", "PowByNatural", "FloatPow", "FloatTrueDiv",
    "IntTrueDiv", "IsNonOverlappingAndDenseIndicator", "TruncToFloat", "TruncToInt", "RoundToInt",
    "RoundDecimal", "ToFloat", "Identity", "Symbol", "Integer", "Float", "Rational", "Add", "Mul",
    "Pow", "Max", "Min", "Abs", "Eq", "Ne", "Lt", "Le", "Gt", "Ge", "Equality", "Unequality",
    "StrictLessThan", "LessThan", "StrictGreaterThan", "GreaterThan", "And", "Or", "Not",
    "Piecewise", "ExprCondPair", "floor", "ceiling", "sqrt", "exp", "log", "max", "min", "abs",
    "int", "float", "bool",
}  # fmt: skip
_TEXTS = ("as_string", "as_strings")
_MEASURES = ("size", "stride", "storage_offset", "dim", "item")


def unsafe_text(archive: ZipFile) -> str | None:
    """The first text in an archive that torch could run, with its place; None where there is none.

    Raises:
        ValueError: A program in the archive is no JSON.
    """
    for item in archive.infolist():
        # torch finds records whatever the case of their names.
        name = item.filename.casefold()
        if name.partition("/")[2].startswith("models/") or name.endswith("exported_program.json"):
            found = next(_unsafe(json.loads(archive.read(item)), ""), None)
            if found is not None:
                return f"{item.filename}: {found[:120]!r}"
    return None


def _unsafe(value: Any, key: str) -> Iterator[str]:
    """Every text below a key that is not of the shape that torch writes there."""
    if isinstance(value, dict):
        for inner, child in value.items():
            yield from () if _NAME.fullmatch(inner) else [inner]
            # Notes about where a node comes from, which nothing runs.
            note = key == "metadata" and isinstance(child, str) and inner not in _SHAPES
            yield from () if note else _unsafe(child, inner)
    elif key == "expr_str":
        # sympy also evaluates the texts of a list.
        yield from () if isinstance(value, str) and _is_expression(value) else [str(value)]
    elif isinstance(value, list):
        for child in value:
            yield from _unsafe(child, key)
    elif isinstance(value, str):
        sound = key in _TEXTS or _SHAPES.get(key, _NAME.fullmatch)(value)
        yield from () if sound else [value]


def _is_expression(text: str) -> bool:
    """Whether a text is arithmetic and comparisons of symbols, numbers and known functions."""
    try:
        return bool(_EXPRESSION.fullmatch(text)) and _is_sound(ast.parse(text, mode="eval").body)
    except SyntaxError:
        return False


def _is_sound(node: ast.expr) -> bool:
    parts: list[ast.expr] | None = None
    match node:
        case ast.Constant(value=int() | float()):
            parts = []
        case ast.Call(func=ast.Name(id="Symbol" | "Float"), args=[ast.Constant(value=str(text))]):
            plain = "__" not in text and re.fullmatch(r"[\w.+-]+", text) and _is_plain(node)
            parts = [] if plain else None
        case ast.Call(func=ast.Name(id=name), args=given):
            parts = given if _is_function(name) and _is_plain(node) else None
        case ast.UnaryOp(operand=inner):
            parts = [inner]
        case ast.BinOp(left=left, right=right):
            parts = [left, right]
        case ast.Compare(left=left, comparators=others):
            parts = [left, *others]
        case ast.BoolOp(values=several) | ast.Tuple(elts=several):
            parts = several
    return _is_measure(node) if parts is None else all(map(_is_sound, parts))


def _is_function(name: str) -> bool:
    return name in _FUNCTIONS or name.startswith(("OpaqueUnaryFn_", "BitwiseFn_"))


def _is_plain(call: ast.Call) -> bool:
    """Whether keywords say only yes, no or a number, as in `Symbol('s0', integer=True)`."""
    return all(
        isinstance(word.value, ast.Constant) and isinstance(word.value.value, bool | int)
        for word in call.keywords
    )


def _is_measure(node: ast.expr) -> bool:
    """Whether it is a name, something of `math`, or a size of an input: `L['x'].size()[0]`."""
    sound = False
    match node:
        case ast.Name(id=name):
            sound = "__" not in name
        case ast.Subscript(value=of, slice=ast.Constant(value=int() | str() as key)):
            sound = bool(_NAME.fullmatch(str(key))) and _is_measure(of)
        case ast.Attribute(value=ast.Name(id="math"), attr=name):
            sound = not name.startswith("_")
        case ast.Call(func=ast.Attribute(value=ast.Name(id="math")) as of, args=given, keywords=[]):
            sound = _is_measure(of) and all(map(_is_sound, given))
        case ast.Call(func=ast.Attribute(value=of, attr=name), args=[], keywords=[]):
            sound = name in _MEASURES and _is_measure(of)
    return sound


def _is_tree(text: str) -> bool:
    """Whether a description of nested inputs names only tuples, lists and dictionaries."""
    try:
        protocol, tree = json.loads(text)
        return isinstance(protocol, int) and _is_plain_tree(tree)
    except (ValueError, TypeError, KeyError, AttributeError):
        return False


def _is_plain_tree(tree: Any) -> bool:
    context = None if tree["context"] is None else json.loads(tree["context"])
    names = [] if context is None else context
    return (
        tree["type"] in _TREES
        and isinstance(names, list)
        and all(isinstance(n, int) or bool(_NAME.fullmatch(n)) for n in names)
        and all(map(_is_plain_tree, tree["children_spec"]))
    )


_SHAPES: dict[str, Callable[[str], object]] = {
    "expr_str": _is_expression,
    "guards_code": _is_expression,
    "target": _TARGET.fullmatch,
    "as_operator": _TARGET.fullmatch,
    "in_spec": _is_tree,
    "out_spec": _is_tree,
}
