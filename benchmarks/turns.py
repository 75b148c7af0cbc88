"""Contenders in turn, each in a process of its own: what the benchmarks of this folder have in common.

The one idea: a benchmark is a module with ``measure(contender, case, **settings)``, which returns numbers by name, and a
table of contenders; how they are run, fairly, stands here once. Every measurement is a fresh process, so that no two thread
pools meet and the memory is the contender's own; they run in turn for several rounds, so that a change of the clock meets
all alike. Shown is the median over the rounds. A contender that fails is shown as failed, with its error below the table;
one that is not installed is named. With ``--json`` everything is also written to a file.

A benchmark calls ``arguments`` for the options that all have, ``compete`` for the results, ``table`` and ``finish`` to show
them. A list that ``measure`` returns is of repeated measurements, and becomes its median; anything else stays as it is.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib
import importlib.metadata
import importlib.util
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

THREADS = ("TINYNET_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUM_CPU_THREADS")
MARK = "measured: "  # before each result, so that what a library prints is not taken for one


class Skip(Exception):
    """Raised by ``measure`` where a case is not for this contender; shown as a dash."""


@dataclass(frozen=True)
class Contender:
    """The package it needs; what is imported, where it is installed, before memory is looked at; and its environment.

    One that takes long to start is no part of ``--quick``, unless it is asked for.
    """

    package: str = "tinynet"
    imports: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    slow: bool = False

    @property
    def installed(self) -> bool:
        return importlib.util.find_spec(self.package) is not None


OURS = Contender(imports=("tinynet", "numba"))
ARRAY_CODE = Contender(imports=("tinynet",), environment={"TINYNET_NUMBA": "0"})
TORCH = Contender("torch", ("torch",))


@dataclass
class Result:
    """What a contender needed for a case: for each name one number a round, or why there is none."""

    case: str
    contender: str
    values: dict[str, list[Any]] = field(default_factory=dict)
    error: str = ""
    skipped: str = ""

    def median(self, name: str) -> float:
        """Over the rounds; None among them is what was never reached, and counts as infinite."""
        found = [math.inf if v is None else v for v in self.values.get(name, [])]
        return statistics.median(found) if found and not self.error else math.nan


# ---------------------------------------------------------------------------------------------------- the command line


def arguments(text: str, cases: Iterable[str], contenders: dict[str, Contender], rounds: int = 3) -> argparse.ArgumentParser:
    """The options that all benchmarks have; one that needs more adds them."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parser.add_argument("--rounds", type=int, default=rounds, help="processes for each contender (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=cores, help="threads for each contender (default: %(default)s)")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="WORD", help="only cases whose name contains a word of these"
    )
    parser.add_argument("--contenders", nargs="+", choices=[*contenders], metavar="NAME", help=f"of {', '.join(contenders)}")
    parser.add_argument("--quick", action="store_true", help="one short round, which shows that it works, and no more")
    parser.add_argument("--json", type=Path, metavar="PATH", help="also write everything to this file")
    parser.set_defaults(all_cases=tuple(cases), all_contenders=contenders)
    return parser


def chosen(args: argparse.Namespace) -> list[str]:
    """The cases that --only leaves."""
    words = [word.lower() for word in args.only]
    return [c for c in args.all_cases if not words or any(word in c.lower() for word in words)]


# ------------------------------------------------------------------------------------------------------------- running


def compete(
    module: str, args: argparse.Namespace, together: bool = False, numbered: str = "", **settings: Any
) -> list[Result]:
    """Run ``benchmarks.MODULE.measure`` for each contender and case, in turn, ``args.rounds`` times.

    ``together``: one process does all cases of a contender, where starting one for each would take most of the time.
    ``numbered``: a setting that is 0 in the first round, 1 in the second, ... (a seed).
    """
    cases = chosen(args)
    picked = args.contenders or [name for name, c in args.all_contenders.items() if not (args.quick and c.slow)]
    found = {name: c for name, c in args.all_contenders.items() if name in picked and c.installed}
    if absent := [name for name in picked if name not in found]:
        print(f"not installed, and so left out: {', '.join(absent)}", file=sys.stderr)
    results = {(case, name): Result(case, name) for case in cases for name in found}
    groups = [cases] if together else [[case] for case in cases]
    rounds = 1 if args.quick else args.rounds
    with tqdm(total=len(groups) * rounds * len(found), unit=" runs", leave=False, file=sys.stderr) as bar:
        for group in groups:
            for i in range(rounds):
                now = {**settings, numbered: i} if numbered else settings
                for name, contender in found.items():
                    bar.set_description(f"{name}: {group[0] if len(group) == 1 else f'{len(group)} cases'}")
                    todo = [c for c in group if not results[c, name].error and not results[c, name].skipped]
                    if todo:
                        _run(module, name, contender, todo, args.threads, now, results)
                    bar.update()
    return list(results.values())


def _run(
    module: str, name: str, contender: Contender, cases: list[str], threads: int, settings: dict, results: dict
) -> None:
    task = json.dumps([module, name, contender.imports, cases, settings])
    environment = {**os.environ, **dict.fromkeys(THREADS, str(threads)), **contender.environment}
    root = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-c", "from benchmarks import turns; turns.child()", task]
    done = subprocess.run(command, env=environment, cwd=root, capture_output=True, check=False, text=True)
    told = {}
    for line in done.stdout.splitlines():
        if line.startswith(MARK):
            case, outcome = json.loads(line.removeprefix(MARK))
            told[case] = outcome
    last = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
    for case in cases:
        outcome, result = told.get(case, {"error": f"exit code {done.returncode}: {last}"}), results[case, name]
        result.error, result.skipped = outcome.get("error", ""), outcome.get("skipped", "")
        for key, value in outcome.get("values", {}).items():
            result.values.setdefault(key, []).append(value)


def milliseconds(call: Callable[[], object], seconds: float, clock: str = "process_time", least: int = 3) -> list[float]:
    """How long each call takes, by a clock of ``time``, for so many seconds after two calls that warm up."""
    now, times = getattr(time, clock), []
    for _ in range(2):
        call()
    end = time.perf_counter() + seconds
    while len(times) < least or time.perf_counter() < end:
        start = now()
        call()
        times.append((now() - start) * 1e3)
    return times


def peak_memory() -> float:
    """The most memory that this process has had in use, in MB."""
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def child() -> None:
    """One contender's process: import what it needs, measure each case, and tell."""
    module, name, imports, cases, settings = json.loads(sys.argv[1])
    bench = importlib.import_module(f"benchmarks.{module}")
    for needed in imports:
        if importlib.util.find_spec(needed) is not None:
            importlib.import_module(needed)
    before = peak_memory()
    for case in cases:
        try:
            values = bench.measure(name, case, **settings)
            numbers = {key: statistics.median(v) if isinstance(v, list) else v for key, v in values.items()}
            if len(cases) == 1:  # of several, the first would leave its peak to the others
                numbers |= {"memory": peak_memory() - before, "whole memory": peak_memory()}
            outcome: dict[str, Any] = {"values": numbers}
        except Skip as reason:
            outcome = {"skipped": str(reason) or "not for this contender"}
        except Exception as error:
            outcome = {"error": f"{type(error).__name__}: {error}".strip()[:300]}
        print(f"{MARK}{json.dumps([case, outcome])}", flush=True)


# ------------------------------------------------------------------------------------------------------------- showing


def machine() -> dict[str, Any]:
    """Where and when: the date, the processor, how many cores this process may use, the system, the load at the start."""
    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else math.nan
    date = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    return {"date": date, "processor": model, "cores": cores, "system": platform.platform(), "load": round(load, 2)}


def versions(args: argparse.Namespace) -> dict[str, str]:
    """Of Python, NumPy, tinynet (with the commit where it is a checkout) and the contenders' modules."""
    modules = ("numpy", "numba", *(c.package for c in args.all_contenders.values()))
    found = {"Python": platform.python_version()}
    for name in dict.fromkeys(m for m in modules if m != "tinynet"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    root = Path(__file__).resolve().parents[1]
    try:
        command = ["git", "-C", str(root), "describe", "--always", "--dirty"]
        commit = subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit = "unknown commit"
    return {"tinynet": commit, **found}


def headline(args: argparse.Namespace) -> str:
    """One line for people: date, machine, versions."""
    here = machine()
    text = (
        f"{here['date'][:16]}, {here['processor']}, {here['cores']} cores, {args.threads} threads each, load {here['load']}"
    )
    return text + "; " + ", ".join(f"{name} {version}" for name, version in versions(args).items())


def number(x: float) -> str:
    """Three digits, or all before the point."""
    if not math.isfinite(x):
        return "-" if math.isnan(x) else "never"
    return f"{x:,.{0 if abs(x) >= 100 else 1 if abs(x) >= 10 else 2}f}"


def table(results: list[Result], name: str, title: str, over: str = "tinynet", against: Sequence[str] | None = None) -> str:
    """A line for each case, a column for each contender, then the ratios of ``over`` to those ``against`` (all others)."""
    contenders = list(dict.fromkeys(r.contender for r in results))
    by = {(r.case, r.contender): r for r in results}
    cases = list(dict.fromkeys(r.case for r in results))
    others = [c for c in (contenders if against is None else against) if c != over and c in contenders]
    others = others if over in contenders else []
    width = max(len(title), *(len(case) for case in cases)) + 2
    heads = [*contenders, *(f"/ {c}" for c in others)]
    widths = [max(10, len(head) + 3) for head in heads]
    lines = [f"{title:<{width}}" + "".join(f"{h:>{w}}" for h, w in zip(heads, widths, strict=True))]
    for case in cases:
        cells = ["failed" if by[case, c].error else number(by[case, c].median(name)) for c in contenders]
        ratios = [by[case, over].median(name) / by[case, c].median(name) for c in others]
        cells += [f"{r:.2f}" if math.isfinite(r) else "-" for r in ratios]
        lines.append(f"{case:<{width}}" + "".join(f"{c:>{w}}" for c, w in zip(cells, widths, strict=True)))
    return "\n".join(lines)


def failures(results: list[Result]) -> str:
    """Who failed, at what, and why: never left out."""
    return "\n".join(f"failed: {r.contender}, {r.case}: {r.error}" for r in results if r.error)


def figure(args: argparse.Namespace, columns: int) -> Any:
    """A figure with so many axes side by side, and these; None where no picture is wanted or matplotlib is missing."""
    if not args.picture or importlib.util.find_spec("matplotlib") is None:
        print("no picture: that needs matplotlib, pip install 'tinynet[plot]'" if args.picture else "", end="")
        return None
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot.subplots(1, columns, figsize=(5.5 * columns, 4.5), squeeze=False, layout="constrained")


def save(args: argparse.Namespace, drawn: Any) -> None:
    args.picture.parent.mkdir(parents=True, exist_ok=True)
    drawn.suptitle(headline(args).partition(";")[0], fontsize=8, color="gray")
    drawn.savefig(args.picture, dpi=120)
    print(f"\npicture: {args.picture}")


def finish(args: argparse.Namespace, benchmark: str, results: list[Result], **more: Any) -> None:
    """What failed and where this was, on the terminal; all of it into the JSON file."""
    if failed := failures(results):
        print(f"\n{failed}")
    print(f"\n{headline(args)}")
    if args.json:
        rounds = 1 if args.quick else args.rounds
        about = {"benchmark": benchmark, "machine": machine(), "versions": versions(args), "threads": args.threads}
        content = {**about, "rounds": rounds, **more, "results": [asdict(r) for r in results]}
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(content, indent=1))
