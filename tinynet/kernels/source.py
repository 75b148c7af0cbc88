"""What a traced rule becomes: the source of a compiled loop, of array code that works in place, and of a GPU kernel.

The one idea: all three are the same operations in the same order, so that all give the same numbers, and each is text
that can be read: the textbook's formula, one operation a line.
"""

from __future__ import annotations

import re

from .trace import CONDITIONS, PYTHON, Line, Trace

# How C writes what it does not write as Python does. NaN comes out of sign, maximum and minimum as in NumPy; {f} is the
# suffix of the functions for float32.
C = {
    **{op: text for op, text in PYTHON.items() if "np." not in text},
    "power": "pow{f}({}, {})",
    "logical_and": "{} && {}",
    "logical_or": "{} || {}",
    "logical_not": "!{}",
    "sqrt": "sqrt{f}({})",
    "abs": "fabs{f}({})",
    "sign": "({0} > 0) - ({0} < 0) + ({0} != {0} ? {0} : 0)",
    "exp": "exp{f}({})",
    "maximum": "{0} >= {1} || {0} != {0} ? {0} : {1}",
    "minimum": "{0} <= {1} || {0} != {0} ? {0} : {1}",
    "where": "{0} ? {1} : {2}",
}


ARRAY_CODE = sorted({*PYTHON, "copyto"} - {"where"})  # the NumPy functions that array code is written with


BLOCK = 512  # elements of which a float32 sum is taken


def numbers_source(rule: Trace) -> str:
    """``numbers(hyper)``: from a dict of hyper-parameters the numbers that the body needs, in double precision."""
    lines = [*(f'{name} = hyper["{name}"]' for name in rule.hyper), *rule.prelude]
    lines.append(f"return ({''.join(name + ', ' for name in rule.numbers)})")
    return "\n".join(["def numbers(hyper):", *(f"    {line}" for line in lines), ""])


def loop_source(rule: Trace) -> str:
    """``update(start, stop, thread, address)``: one pass over the memory of many arrays, for Numba; a job for a team.

    The address is of the words of a ``kernels.table.Table``: those of its rows and its numbers, how many rows of how
    many columns, and how many parts; a part is its share of every array.
    """
    stored = [f"{name}[i] = {result}" for name, result in rule.results.items() if result != f"{name}_i"]
    return "\n".join(
        [
            "def update(start, stop, thread, address):",
            "    before = flush_denormals()",
            "    words = carray(pointer(address), 5, np.int64)",
            "    rows, parts = carray(pointer(words[0]), (words[2], words[3]), np.int64), words[4]",
            f"    numbers = carray(pointer(words[1]), (words[2], {len(rule.numbers)}), REAL)",
            "    for part in range(start, stop):",
            "        for k in range(words[2]):",
            "            share = (rows[k, 0] + 16 * parts - 1) // (16 * parts) * 16",
            "            first = min(part * share, rows[k, 0])",
            "            size = min(share, rows[k, 0] - first)",
            *(f"    {line}" for line in _loop(rule, _read(rule), stored, "REAL")),
            "    restore(before)",
            "",
        ]
    )


def measure_source(rule: Trace) -> str:
    """``measure(rows, numbers, sums)``: the same pass, which writes nothing but a row of ``sums`` for each parameter.

    The sums are taken in the arrays' own dtype over a few hundred elements, and in float64 over these.
    """
    terms = ["step * step", "abs(step)", "grad_i * grad_i", "abs(grad_i)", "w_i * w_i", "step * grad_i"]
    terms += [f"{result} * {result}" for result in list(rule.results.values())[1:]]
    added = [f"step = {rule.results['w']} - w_i", *(f"sum{k} += {term}" for k, term in enumerate(terms))]
    return "\n".join(
        [
            "def measure(rows, numbers, sums):",
            "    zero = numbers.dtype.type(0)",
            "    for k in range(rows.shape[0]):",
            "        sums[k, :] = 0.0",
            f"        for first in range(0, rows[k, 0], {BLOCK}):",
            f"            size = min({BLOCK}, rows[k, 0] - first)",
            *(f"            sum{k} = zero" for k in range(len(terms))),
            *(f"    {line}" for line in _loop(rule, rule.arrays, added, "numbers.dtype")),
            *(f"            sums[k, {k}] += sum{k}" for k in range(len(terms))),
            "",
        ]
    )


def _loop(rule: Trace, read: list[str], then: list[str], dtype: str) -> list[str]:
    """The lines that find one parameter's numbers and arrays and go through ``size`` elements of these from ``first``."""
    body = [f"{line.name} = {PYTHON[line.op].format(*line.operands)}" for line in rule.body]
    return [
        *(f"        n{j} = numbers[rows[k, 1], {j}]" for j in range(len(rule.numbers))),
        *(
            f"        {name} = carray(pointer(rows[k, {j}] + first * numbers.itemsize), size, {dtype})"
            for j, name in enumerate(rule.arrays, 2)
        ),
        "        for i in range(size):",
        *(f"            {line}" for line in [*(f"{name}_i = {name}[i]" for name in read), *body, *then]),
    ]


def _read(rule: Trace) -> list[str]:
    """The arrays whose elements as they were are needed at all."""
    needed = {x for line in rule.body for x in line.operands}
    return [name for name in rule.arrays if f"{name}_i" in needed]


def array_source(rule: Trace, fused: bool = False) -> tuple[str, list[str]]:
    """``update(arrays..., numbers..., temporaries...)`` in NumPy calls that write into what is there already.

    ``fused``: sums of an array and a number's multiple of another in the one call that ``kernels.axpy`` has for them.

    Also the names of the temporaries that it wants: f0, f1, ... of the arrays' own dtype, q0, ... for conditions. An
    operation writes over an operand where that is needed no more, else over another temporary, and one that makes a result
    over the array itself as soon as its old value is needed no more. (Writing over an operand: Momentum on 784 thousand
    weights 690 µs, else 780.)
    """
    body = _sums(rule) if fused else rule.body
    end = len(body)
    last = {x: k for k, line in enumerate(body) for x in line.operands}  # the line that needs it last
    last |= dict.fromkeys(rule.results.values(), end)
    into = {result: array for array, result in rule.results.items() if result != f"{array}_i"}
    # Which line makes an array's new value: until then there may be something else in it, but for operands of its two calls.
    made = {into[line.name]: k - (line.op == "where") for k, line in enumerate(body) if line.name in into}
    until = {array: last.get(f"{array}_i", -1) for array in made}  # which line needs last what a place holds
    if "w" in made:  # the gradient may be the weight's own array
        until["w"] = max(until["w"], last.get("grad_i", -1))
    place = {f"{name}_i": name for name in rule.arrays}
    calls: list[str] = []
    names: list[str] = []
    for k, line in enumerate(body):
        operands, array = [place.get(x, x) for x in line.operands], into.get(line.name)  # a number is called what it is
        kind, needed, now = "q" if line.op in CONDITIONS else "f", last[line.name], k - (line.op == "where")
        fit = [x for x in operands if x in made and kind == "f" and needed <= made[x]]
        fit += [x for x in (*operands, *reversed(names)) if x in names and x[0] == kind]
        out = next((x for x in ([array] if array else []) + fit if until[x] <= now), "")
        if not out:
            out = f"{kind}{sum(x[0] == kind for x in names)}"
            names.append(out)
        calls += _calls(line.op, operands, out)
        place[line.name], until[out] = out, needed
    calls += [f"copyto({array}, {place[r]})" for array, r in rule.results.items() if place[r] != array]
    names = [name for name in names if any(name in re.split(r"\W", call) for call in calls)]
    arguments = ", ".join([*rule.arrays, *(f"n{j}" for j in range(len(rule.numbers))), *names])
    return "\n".join([f"def update({arguments}):", *(f"    {call}" for call in calls or ["pass"]), ""]), names


def _sums(rule: Trace) -> list[Line]:
    """The body, with a line ``axpby`` of (a, x, b, y) for a sum a x + b y of two arrays, where nobody else needs a product.

    a or b is "1" where there is no product; in a difference b has a "-". A product that is divided first, (a x) / z, is
    taken for a (x / z): one pass less.
    """
    uses = [*(x for line in rule.body for x in line.operands), *rule.results.values()]
    terms: set[str] = set()  # what is needed once, as a term of such a sum
    for line in reversed(rule.body):
        if line.op in ("add", "subtract") and not any(map(_is_number, line.operands)):
            terms.update(line.operands)
        elif line.op == "divide" and line.name in terms:
            terms.add(line.operands[0])
        terms = {x for x in terms if uses.count(x) == 1}
    products: dict[str, tuple[str, str]] = {}
    body: list[Line] = []
    for line in rule.body:
        x, y = line.operands if len(line.operands) == 2 else ("", "")
        if line.op == "multiply" and line.name in terms and _is_number(x) != _is_number(y):
            products[line.name] = (x, y) if _is_number(x) else (y, x)
            continue
        if line.op == "divide" and x in products:
            a, x = products[x]
            products[line.name], line = (a, line.name), Line(line.name, "divide", (x, y))
        elif {x, y} & products.keys():
            (a, x), (b, y) = products.get(x, ("1", x)), products.get(y, ("1", y))
            line = Line(line.name, "axpby", (a, x, f"-{b}" if line.op == "subtract" else b, y))
        body.append(line)
    return body


def _is_number(operand: str) -> bool:
    return operand[:1] == "n" and operand[1:].isdigit()


def _calls(op: str, operands: list[str], out: str) -> list[str]:
    if op == "axpby":
        a, x, b, y = operands
        return _sum(a, x, b, y, out)
    if op != "where":
        return [f"{op}({', '.join(operands)}, out={out})"]
    condition, a, b = operands
    if _is_number(condition):  # the same for every element
        return [f"copyto({out}, {a} if {condition} else {b})"]
    return [f"copyto({out}, {b})", f"copyto({out}, {a}, where={condition})"]


def _sum(a: str, x: str, b: str, y: str, out: str) -> list[str]:
    """out = a x + b y: in one call where x or y is written over."""
    if out == x or (out != y and b == "1"):
        a, x, b, y = b, y, a, x
    if out == y:
        return [f"axpy({a}, {x}, {out})" if b == "1" else f"axpby({a}, {x}, {b}, {out})"]
    return [f"multiply({y}, {b}, out={out})", f"add({x}, {out}, out={out})" if a == "1" else f"axpy({a}, {x}, {out})"]


def c_source(rule: Trace, real: str) -> str:
    """The lines of a loop in C, or in CUDA C, over variables called ``w_``, ...; ``real`` is their type."""
    suffix = "f" if real == "float" else ""
    loaded = [f"{real} {name}_i = {name}_;" for name in _read(rule)]
    body = [
        f"{'int' if line.op in CONDITIONS else real} {line.name} = {C[line.op].format(*line.operands, f=suffix)};"
        for line in rule.body
    ]
    stored = [f"{name}_ = {result};" for name, result in rule.results.items() if result != f"{name}_i"]
    return "\n".join([*loaded, *body, *stored])
