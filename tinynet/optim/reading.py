"""A rule's source, read one statement at a time, with the numbers behind its names.

The one idea: every assignment is computed by itself, so that what it gave can stand beside its formula, once with names
and once with numbers.
"""

from __future__ import annotations

import ast
import copy
import inspect
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..kernels import elementary
from ..kernels.trace import PYTHON, trace

WIDTH = 110


class Unreadable(Exception):
    """A rule's source is not to be had, or has statements that are not read one at a time."""


@dataclass
class Line:
    """``name = formula = numbers = value``: the formula as it was written, and with numbers in the place of its names."""

    name: str
    formula: str
    numbers: str
    value: float

    def __str__(self) -> str:
        value, numbers = short(self.value), re.sub(r"^\((-[^()]+)\)(?! \*\*)", r"\1", self.numbers)
        parts = [part for part in dict.fromkeys([self.formula, numbers]) if part not in ("", value)] + [value]
        text = f"{self.name} = {' = '.join(parts)}"
        return text if len(text) <= WIDTH else f"{self.name} = " + f"\n{' ' * len(self.name)} = ".join(parts)


def short(value: Any, inside: bool = False) -> str:
    """A number in six digits; in brackets where it is negative and stands ``inside`` a formula. Anything else as it is."""
    text = f"{float(value):.6g}" if isinstance(value, (float, np.floating)) else str(value)
    return f"({text})" if inside and text[0] == "-" else text


class Reader:
    """Reads one rule; ``lines`` is what has been found. ``index`` is the element looked at, in arrays of ``shape``."""

    def __init__(self, outputs: list[str], index: Any, shape: tuple[int, ...]):
        self.outputs, self.index, self.shape = outputs, index, shape
        self.lines: list[Line] = []

    def read(self, rule: Callable, arguments: tuple, keywords: dict[str, Any]) -> list[float]:
        """Run the rule on these arguments; the results' elements. Raises ``Unreadable``."""
        body, names = _source(rule)
        bound = inspect.signature(rule).bind(*arguments, **keywords)
        bound.apply_defaults()
        results = self._block(body, names | bound.arguments)
        if results is None or len(results) != len(self.outputs):
            raise Unreadable("no results")
        return results

    def _block(self, statements: list[ast.stmt], names: dict[str, Any]) -> list[float] | None:
        for s in statements:
            if isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant):
                continue  # a docstring
            if isinstance(s, ast.AugAssign) and isinstance(s.target, ast.Name):
                old = ast.Name(s.target.id, ast.Load())
                self._assign(s.target, ast.BinOp(old, s.op, s.value), names)
            elif isinstance(s, ast.Assign) and len(s.targets) == 1:
                self._assign(s.targets[0], s.value, names)
            elif isinstance(s, ast.If):
                results = self._block(s.body if _value(s.test, names) else s.orelse, names)
                if results is not None:
                    return results
            elif isinstance(s, ast.Return) and s.value is not None:
                return self._results(s.value, names)
            else:
                raise Unreadable(type(s).__name__)
        return None

    def _assign(self, target: ast.expr, expression: ast.expr, names: dict[str, Any]) -> None:
        value = _value(expression, names)
        if isinstance(target, ast.Name):
            self._note(target.id, expression, value, names)
            names[target.id] = value
        elif isinstance(target, ast.Tuple) and all(isinstance(t, ast.Name) for t in target.elts):
            if isinstance(expression, ast.Tuple):
                for t, e, v in zip(target.elts, expression.elts, value, strict=True):
                    self._note(t.id, e, v, names)  # type: ignore[attr-defined]
            names.update(zip([t.id for t in target.elts], value, strict=True))  # type: ignore[attr-defined]
        else:
            raise Unreadable(type(target).__name__)

    def _results(self, expression: ast.expr, names: dict[str, Any]) -> list[float]:
        rule = _value(expression.func, names) if isinstance(expression, ast.Call) else None
        if isinstance(expression, ast.Call) and inspect.isfunction(rule) and not _is_elementwise(rule):
            arguments = tuple(_value(a, names) for a in expression.args)  # the rule hands over to another
            keywords: dict[str, Any] = {}
            for k in expression.keywords:
                keywords |= {k.arg: _value(k.value, names)} if k.arg else _value(k.value, names)
            return self.read(rule, arguments, keywords)
        found = []
        parts = expression.elts if isinstance(expression, ast.Tuple) else [expression]
        for name, part in zip(self.outputs, parts, strict=False):
            value = _value(part, names)
            if not (isinstance(part, ast.Name) and part.id == name):
                self._note(name, part, value, names)
            found.append(self._element(value))
        return found if len(parts) == len(self.outputs) else []

    def _element(self, value: Any) -> Any:
        """The number that a value stands for at the index; None where it is none."""
        if isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.shape in (self.shape, ()):
            return value[self.index] if value.shape else value[()]
        return value if isinstance(value, (float, np.floating)) or type(value) is int else None

    def _note(self, name: str, expression: ast.expr, value: Any, names: dict[str, Any]) -> None:
        element = self._element(value)
        if element is not None:
            formula = _Chosen(names).visit(copy.deepcopy(expression))
            numbers = _Numbers(names, self._element).visit(copy.deepcopy(formula))
            self.lines.append(Line(name, ast.unparse(formula), ast.unparse(numbers), float(element)))


class _Chosen(ast.NodeTransformer):
    """``a if option else b`` becomes the one that is taken; ``optim.sqrt`` becomes ``sqrt``."""

    def __init__(self, names: dict[str, Any]):
        self.names = names

    def visit_IfExp(self, node: ast.IfExp) -> Any:
        return self.visit(node.body if _value(node.test, self.names) else node.orelse)

    def visit_Attribute(self, node: ast.Attribute) -> Any:
        return ast.Name(node.attr, ast.Load()) if _is_elementwise(_value(node, self.names)) else node


class _Numbers(ast.NodeTransformer):
    """A formula with numbers in the place of names; what involves no array is worked out."""

    def __init__(self, names: dict[str, Any], element: Callable[[Any], Any]):
        self.names, self.element = {**vars(elementary), **names}, element

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, (ast.Name, ast.BinOp, ast.UnaryOp, ast.Call, ast.Attribute, ast.Subscript)):
            held = [_value(x, self.names) for x in ast.walk(node) if isinstance(x, ast.Name)]
            opaque = isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult)
            opaque |= isinstance(node, ast.Call) and not _is_elementwise(_value(node.func, self.names))
            if opaque or isinstance(node, ast.Name) or (held and not any(isinstance(v, np.ndarray) for v in held)):
                number = self.element(_value(node, self.names))
                if number is not None:
                    return ast.Name(short(number, True), ast.Load())
        return self.generic_visit(node)


def _value(node: ast.expr, names: dict[str, Any]) -> Any:
    expression = ast.fix_missing_locations(ast.Expression(copy.deepcopy(node)))
    return eval(compile(expression, "<rule>", "eval"), dict(names))


def _is_elementwise(f: Any) -> bool:
    return isinstance(f, np.ufunc) or getattr(elementary, getattr(f, "__name__", ""), None) is f or f in (abs, min, max)


def _source(rule: Callable) -> tuple[list[ast.stmt], dict[str, Any]]:
    """The statements of a rule, and what the names mean that are not its own."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(rule)))
        around = inspect.getclosurevars(rule)
    except (OSError, TypeError, SyntaxError) as error:
        raise Unreadable(str(error)) from error
    if len(tree.body) != 1 or not isinstance(tree.body[0], ast.FunctionDef):
        raise Unreadable("no function")
    return tree.body[0].body, {**around.builtins, **around.globals, **around.nonlocals}


def traced_lines(rule: Callable, arrays: dict[str, Any], hyper: dict[str, Any]) -> list[Line]:
    """The operations of a rule whose source is not to be read, from its trace; none where it cannot be traced either.

    ``arrays``: of one element each.
    """
    try:
        made = trace(rule, list(arrays), hyper)
    except Exception:  # whatever a rule raises when it meets symbols
        return []
    lines: list[Line] = []
    known: dict[str, Any] = {**hyper, "np": elementary, **{f"{name}_i": array for name, array in arrays.items()}}

    def note(name: str, formula: str, numbers: str) -> None:
        lines.append(Line(name, formula, numbers, float(np.asarray(known[name]).reshape(-1)[0])))

    for text in made.prelude:
        exec(text, known)
        name, _, formula = text.partition(" = ")
        note(name, formula.replace("np.", ""), "")
    for line in made.body:
        values = [known[x] if x in known else eval(made.numbers[int(x[1:])], known) for x in line.operands]
        labels = [x[:-2] if x.endswith("_i") else x if x in known else made.numbers[int(x[1:])] for x in line.operands]
        known[line.name] = getattr(np, line.op)(*values)
        numbers = [short(np.asarray(v).reshape(-1)[0], True) for v in values]
        template = PYTHON[line.op].replace("np.", "")
        note(line.name, template.format(*labels), template.format(*numbers))
    for array, result in made.results.items():
        if result != f"{array}_i":
            known[array] = known[result]
            note(array, result, "")
    return lines
