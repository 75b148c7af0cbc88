"""The house rules, held by reading the sources: imports go down only, files and functions stay short, examples run."""

import ast
import doctest
import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import tinynet

pytestmark = pytest.mark.cpu  # texts and their examples
ROOT = Path(tinynet.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
MODULES = [tinynet.__name__, *(m.name for m in pkgutil.walk_packages(tinynet.__path__, "tinynet."))]

# Each part of the house stands on those before it, and on no other.
ORDER = (
    *(
        "backend",
        "kernels",
        "cuda",
        "tensor",
        "capture",
        "creation",
        "autograd",
        "op",
        "testing",
        "functions",
        "derivatives",
        "layers",
    ),
    *(
        "optim",
        "data",
        "datasets",
        "checkpoint",
        "resume",
        "metrics",
        "training",
        "forward",
        "summary",
        "layout",
        "graph",
        "model",
    ),
    *("processes", "distributed", "compare", "__init__"),
)
# What stands on less than that.
STANDS_ON = {
    "optim": {"backend", "kernels"},
    "data": {"backend", "tensor"},
    "datasets": {"backend", "tensor", "data"},
    "processes": {"backend", "kernels"},
}
FILE_LINES, FUNCTION_LINES = 400, 50
HEAVY = ("matplotlib", "numba", "cupy", "torch", "mpi4py")


def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def name_of(path):
    """``functions/shape.py``: how a test names a file."""
    return path.relative_to(ROOT).as_posix()


def unit(path):
    """The part of the house in which a file stands: a package, or a module of its own."""
    return Path(name_of(path)).parts[0].removesuffix(".py")


def imports(path):
    """(absolute module, name) of every import of the package's own in a file; the name is None for ``import module``."""
    package = ["tinynet", *Path(name_of(path)).parts[:-1]]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            if module.split(".")[0] == "tinynet":
                yield from ((module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names if alias.name.split(".")[0] == "tinynet")


def target(module, name):
    """The part of the house to which an import leads."""
    parts = [*module.split(".")[1:], *([name] if name else [])]
    return parts[0] if parts else "__init__"


def functions(path):
    return [n for n in ast.walk(tree(path)) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_go_down_only(path):
    here = unit(path)
    assert here in ORDER, "a new part of the house needs its place in ORDER"
    allowed = STANDS_ON.get(here, set(ORDER[: ORDER.index(here)])) | {here}
    assert {target(*i) for i in imports(path)} <= allowed


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_file_uses_a_private_name_of_another(path):
    private = [f"{module}.{name}" for module, name in imports(path) if name and name[0] == "_" and name[:2] != "__"]
    modules = {name or module for module, name in imports(path)} & {m.rpartition(".")[2] for m in MODULES}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            private += [f"{node.value.id}.{node.attr}"] * (node.attr[0] == "_" and node.attr[:2] != "__")
    assert not private


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_and_functions_are_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= FILE_LINES
    for f in functions(path):
        body = f.body[1:] if ast.get_docstring(f) is not None else f.body
        told = f.body[0].end_lineno - f.body[0].lineno + 1 if ast.get_docstring(f) is not None else 0
        assert f.end_lineno - f.lineno + 1 - told <= FUNCTION_LINES, f.name
        assert body, f"{f.name} has a docstring and nothing else"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nothing_unpickles(path):
    """Reading weights runs no code from the file: nothing here imports a module that could, or asks NumPy for it."""
    for node in ast.walk(tree(path)):
        names = [a.name for a in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not {n.split(".")[0] for n in names} & {"pickle", "_pickle", "cPickle", "dill", "joblib", "shelve", "marshal"}
        assert not (isinstance(node, ast.keyword) and node.arg == "allow_pickle")


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_file_says_what_it_is_for(path):
    assert ast.get_docstring(tree(path)), "a module's docstring says what the file is for"


def public():
    """(name, object) of every function and class in the public namespaces, and of their public methods."""
    from tinynet import compare, data, datasets, distributed, functions, init, layers, metrics, optim
    from tinynet.optim import schedulers

    for namespace in (tinynet, functions, layers, init, optim, schedulers, data, datasets, distributed, metrics, compare):
        for name, value in vars(namespace).items():
            ours = getattr(value, "__module__", "").startswith("tinynet")
            if name[0] != "_" and ours and (inspect.isfunction(value) or inspect.isclass(value)):
                yield f"{namespace.__name__}.{name}", value
                for method, f in vars(value).items() if inspect.isclass(value) else ():
                    # An optimizer's rule is its formula, which the class's docstring states.
                    if method[0] != "_" and inspect.isfunction(f) and method != "forward":
                        yield f"{namespace.__name__}.{name}.{method}", getattr(value, method)


def test_everything_public_has_a_docstring():
    assert [name for name, value in public() if not inspect.getdoc(value)] == []


def told(module):
    """(name, docstring) of a module, of the functions and classes that it defines, and of these classes' members."""
    yield module.__name__, module.__doc__
    for name, value in vars(module).items():
        if callable(value) and getattr(value, "__module__", None) == module.__name__:
            yield name, value.__doc__
            for member, f in vars(value).items() if inspect.isclass(value) else ():
                f = getattr(f, "fget", None) or getattr(f, "__func__", f)  # of a property, a static or a class method
                if inspect.isfunction(f) and f.__module__ == module.__name__:  # Tensor has some hung on by another file
                    yield f"{name}.{member}", f.__doc__


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    """Every example in a docstring, those of ops included, which doctest by itself does not find behind their wrapper."""
    module, runner, said = importlib.import_module(name), doctest.DocTestRunner(verbose=False), []
    for title, text in told(module):
        runner.run(doctest.DocTestParser().get_doctest(text or "", vars(module).copy(), title, name, 0), out=said.append)
    assert runner.failures == 0, "".join(said)


def test_importing_the_package_imports_nothing_heavy():
    code = f"import sys, tinynet; print([m for m in {HEAVY} if m in sys.modules])"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout == "[]\n"


def test_numba_is_switched_off_where_the_library_looks():
    """The environment is read when the library is imported; a test that changes it later would test nothing."""
    switch = f'setenv("{"TINYNET_NUMBA"}"'
    for path in sorted(Path(__file__).parent.glob("*.py")):
        assert switch not in path.read_text(encoding="utf-8"), f"{path.name}: change kernels.compiled.WANTED instead"
