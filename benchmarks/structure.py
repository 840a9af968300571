"""How large the house is: its longest function, its branches, its commands, and circles of imports.

    python benchmarks/structure.py                    of the package here
    python benchmarks/structure.py --package DIR      of another one, such as an earlier version

Lines of code are those of a function without its docstring, comments and empty lines. Branches are
if, for, while, except, a conditional expression, a comprehension, a case, and each further operand
of `and` or `or`; those of inner functions count. A circle is a set of modules that import each
other, wherever the import stands, but for those of type checking alone. Exits with 1 where a limit
is passed.
"""

import argparse
import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

LONGEST = 40
MOST_BRANCHES = 12
COMMANDS = 1200

ROOMS = ("commands", "sampling", "checkpoints")
"""Where branches are counted."""

Function = ast.FunctionDef | ast.AsyncFunctionDef

ONE_EACH = (
    *(ast.If, ast.For, ast.While, ast.ExceptHandler, ast.IfExp),
    *(ast.comprehension, ast.match_case),
)


class Counted(NamedTuple):
    """A function, and how large it is."""

    lines: int
    branches: int
    place: str


def functions(package: Path) -> Iterator[Counted]:
    """Every function of the package, methods and inner ones too."""
    for file in sorted(package.rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, Function):
                place = f"{file.relative_to(package)}:{node.lineno} {node.name}"
                yield Counted(lines_of(node, text.splitlines()), branches_of(node), place)


def lines_of(function: Function, text: list[str]) -> int:
    """Lines of code from `def` to the end."""
    first = function.body[0]
    document = range(0)
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        document = range(first.lineno, (first.end_lineno or first.lineno) + 1)
    numbers = range(function.lineno, (function.end_lineno or function.lineno) + 1)
    code = (text[number - 1].strip() for number in numbers if number not in document)
    return sum(bool(line) and not line.startswith("#") for line in code)


def branches_of(function: Function) -> int:
    """Places where the function goes one way or another."""
    nodes = list(ast.walk(function))
    more = sum(len(node.values) - 1 for node in nodes if isinstance(node, ast.BoolOp))
    return more + sum(isinstance(node, ONE_EACH) for node in nodes)


def imports(package: Path) -> dict[str, set[str]]:
    """module -> the modules of the package that it imports."""
    files = {name_of(file, package): file for file in package.rglob("*.py")}
    return {name: set(imported_by(file, files)) - {name} for name, file in files.items()}


def name_of(file: Path, package: Path) -> str:
    """The import path of the module in `file`."""
    parts = file.relative_to(package.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imported_by(file: Path, known: dict[str, Path]) -> Iterator[str]:
    """The modules among `known` that `file` imports."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    typing = {id(inner) for node in ast.walk(tree) if is_typing(node) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in typing:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield from (
                    name
                    for name in (inner, node.module)
                    if name in known and (name == inner or inner not in known)
                )


def is_typing(node: ast.AST) -> bool:
    """Whether `node` is `if TYPE_CHECKING:`."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """The sets of modules that can all be reached from each other."""

    def reached(start: str) -> set[str]:
        found: set[str] = set()
        ahead = [start]
        while ahead:
            for name in graph[ahead.pop()] - found:
                found.add(name)
                ahead.append(name)
        return found

    below = {name: reached(name) for name in graph}
    sets = {frozenset(n for n in below[name] if name in below[n]) for name in graph}
    return [set(names) for names in sets if names]


def main() -> int:
    """Print the four numbers; the exit status."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    here = Path(__file__).parents[1] / "cgd_lightning"
    options.add_argument("--package", type=Path, default=here)
    package = options.parse_args().package.resolve()
    counted = list(functions(package))
    longest = max(one for one in counted if not one.place.startswith("networks"))
    branched = max(
        (one for one in counted if one.place.startswith(ROOMS)), key=lambda one: one.branches
    )
    commands = sum(len(file.read_text().splitlines()) for file in package.glob("commands/*.py"))
    round_trips = circles(imports(package))
    print(f"longest function outside networks: {longest.lines} lines, {longest.place}")
    print(f"most branches in {', '.join(ROOMS)}: {branched.branches}, {branched.place}")
    print(f"lines in commands: {commands}")
    print(f"circles between modules: {len(round_trips)} {[sorted(names) for names in round_trips]}")
    within = longest.lines <= LONGEST and branched.branches <= MOST_BRANCHES
    return 0 if within and commands <= COMMANDS and not round_trips else 1


if __name__ == "__main__":
    sys.exit(main())
