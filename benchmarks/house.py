"""The house in figures: files, their lengths, and who imports whom. Prints; decides nothing.

``python -m benchmarks.house [CHECKOUT ...]`` prints one column for each checkout (this one alone where none is given), so that
two builds stand side by side. Counted are ``hub/`` and ``adapters/``; imports of our own are those of ``hub`` and ``adapters``,
one for each module that a file names, wherever in the file. Composition roots are exempt from the sums of imports.
What tests and measurements reach into is counted of ``tests/`` and ``benchmarks/``: private names of others, taken or imported.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles

ROOMS = ("hub", "adapters")
#: Whoever puts everything together has to know everything: the hub, its interfaces, its store, FIT-Connect's operations.
ROOTS = ("hub/app/wiring.py", "hub/app/interfaces.py", "hub/store/store.py", "hub/api/fit_connect/handlers.py")
#: Names with an underscore that are public: namedtuple's, SQLAlchemy's rows', the operating system's, connexion's.
PUBLIC = {"_replace", "_asdict", "_make", "_fields", "_mapping", "_exit", "_validate_spec"}


class Module:
    """One file: its lines, the lengths of its functions, and the modules of ours that it imports."""

    def __init__(self, path: Path, name: str, known: set[str]) -> None:
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        self.name = name
        self.lines = text.count("\n")
        self.functions = [
            (each.end_lineno or each.lineno) - each.lineno + 1
            for each in ast.walk(tree)
            if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        self.imports = set(_imported(tree, known)) - {name}


def _imported(tree: ast.Module, known: set[str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield from {whole if whole in known else node.module} & known
        elif isinstance(node, ast.Import):
            yield from {alias.name for alias in node.names} & known


def modules(root: Path) -> dict[str, Module]:
    """Return every module of a checkout by its path below ``root``."""
    files = {path: path.relative_to(root) for room in ROOMS for path in sorted((root / room).rglob("*.py"))}
    names = {path: ".".join(below.with_suffix("").parts).removesuffix(".__init__") for path, below in files.items()}
    known = set(names.values())
    return {below.as_posix(): Module(path, names[path], known) for path, below in files.items()}


def reaches(root: Path) -> list[str]:
    """Return where tests and measurements take or import what is private to others, as ``path:line name``."""
    found = []
    for place in ("tests", "benchmarks"):
        for path in sorted((root / place).rglob("*.py")):
            below = path.relative_to(root).as_posix()
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom):
                    found += [f"{below}:{node.lineno} {each.name}" for each in node.names if _is_private(each.name)]
                elif isinstance(node, ast.Attribute) and _is_private(node.attr) and not _is_own(node.value):
                    found.append(f"{below}:{node.lineno} {node.attr}")
    return found


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC


def _is_own(owner: ast.expr) -> bool:
    return isinstance(owner, ast.Name) and owner.id in {"self", "cls"}


def figures(root: Path) -> dict[str, str]:
    """Return what is printed of one checkout."""
    found = modules(root)
    counted = {path: each for path, each in found.items() if path not in ROOTS}
    edges = sum(len(each.imports) for each in counted.values())
    lines = [each.lines for each in found.values()]
    functions = sorted(length for each in found.values() for length in each.functions)
    flat = [path for path in found if path.count("/") == 1 and path.startswith("hub/") and "__init__" not in path]
    long = [path for path, each in found.items() if each.lines > 650]
    return {
        "files": f"{len(found)}",
        "files of hub": f"{sum(path.startswith('hub/') for path in found)}",
        "flat modules of hub": f"{len(flat)}",
        "lines": f"{sum(lines)}",
        "median file (without __init__)": f"{median(each.lines for path, each in found.items() if '__init__' not in path):g}",
        "longest file": f"{max(lines)}",
        "files over 650 lines": f"{len(long)}",
        "function, median": f"{median(functions):g}",
        "function, 95 of 100": f"{quantiles(functions, n=20)[-1]:g}",
        "imports of our own": f"{edges}",
        "the same for 100 lines": f"{100 * edges / sum(each.lines for each in counted.values()):.2f}",
        "imports, composition roots' too": f"{sum(len(each.imports) for each in found.values())}",
        "reaches into private names": f"{len(reaches(root))}",
    }


def main() -> None:
    """Print the figures of this checkout, or of those that are named."""
    roots = [Path(each).resolve() for each in sys.argv[1:]] or [Path(__file__).parents[1]]
    columns = [figures(root) for root in roots]
    for name in columns[0]:
        print(f"{name:34}" + "".join(f"{each[name]:>12}" for each in columns))


if __name__ == "__main__":
    main()
