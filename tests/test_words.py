"""Names in the sources: the field's words, one verb for a guard, and one meaning for a class's name."""

import ast
import re
from functools import cache
from pathlib import Path

_ROOT = Path(__file__).parents[1]
#: Words that named a dozen things each; the last ones are fine as a part of another word (``dead_letter``, ``hand_over``).
_ANYWHERE = {"told", "marked", "errands", "lookout", "shelf", "sight", "annex", "pace"}
_ALONE = {"hand", "hands", "letter", "letters"}
#: What a function that refuses unless something holds was called besides ``require``.
_VERBS = {"insist", "ensure", "must", "demand"}


@cache
def _sources(*rooms):
    files = [file for room in rooms for file in sorted((_ROOT / room).rglob("*.py"))]
    return [(file.relative_to(_ROOT).as_posix(), ast.parse(file.read_text(encoding="utf-8"))) for file in files]


def _words(name):
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower().strip("_")


def _named(tree):
    """Yield what is given a name, with its line: classes, functions, parameters, variables, attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if not node.name.startswith("test_"):  # A test's name is a sentence.
                yield node.name, node.lineno
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield getattr(node, "id", None) or node.attr, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno


def test_names_are_the_fields_words():
    found = []
    for file, tree in _sources("hub", "adapters", "tests"):
        names = [*_named(tree), (Path(file).stem, 0)]
        found += [
            f"{file}:{line} {name}"
            for name, line in names
            if set(_words(name).split("_")) & _ANYWHERE or _words(name) in _ALONE
        ]
    assert not found


#: What pages give a name: classes, ids, macros and variables of templates; selectors and properties of styles.
_NAMED_IN_PAGES = {
    ".html": r"""(?:class|id|name)="([\w -]+)"|{%-?\s*(?:macro|set|for|block)\s+(\w+)""",
    ".css": r"[.#]([a-zA-Z][\w-]*)|(--[\w-]+)\s*:",
}


def test_names_in_pages_are_the_fields_words():
    seen, found = set(), []
    for file in sorted((_ROOT / "hub").rglob("*.*")):
        if file.suffix not in _NAMED_IN_PAGES or "vendor" in file.parts:
            continue
        for groups in re.findall(_NAMED_IN_PAGES[file.suffix], file.read_text(encoding="utf-8")):
            names = " ".join(groups).split()
            seen |= {(file.suffix, name) for name in names}
            words = [(name, set(re.split(r"[-_]+", _words(name)))) for name in names]
            found += [f"{file.name} {name}" for name, parts in words if parts & (_ANYWHERE | _ALONE)]
    assert {suffix for suffix, _ in seen} == set(_NAMED_IN_PAGES)
    assert not found


def test_a_function_that_refuses_unless_something_holds_is_called_require():
    found = [
        f"{file}:{node.lineno} {node.name}"
        for file, tree in _sources("hub", "adapters")
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _words(node.name).split("_")[0] in _VERBS
    ]
    assert not found


#: The client is a distribution of its own, and speaks of the same nouns from outside.
_FROM_OUTSIDE = {"Application", "Destination", "Progress", "Report", "Step"}


def test_a_classs_name_means_one_thing():
    places = {}
    for file, tree in _sources("hub", "adapters"):
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                if node.name in _FROM_OUTSIDE and file.startswith("hub/client/"):
                    continue
                places.setdefault(node.name, []).append(file)
    assert {name: files for name, files in places.items() if len(files) > 1} == {}


#: CONTRIBUTING's list, besides ``hub.model.clock``, which is the clock, and its package, which offers it.
_AT_AN_EDGE = (
    "hub/app/wiring.py",
    "hub/cli/",
    "hub/client/",
    "hub/connector/connector.py",
    "hub/transport/oauth.py",
    "hub/adapter_kit/http.py",
    "hub/adapter_kit/as4.py",
    "hub/adapter_kit/xta.py",
)


def test_only_the_edges_ask_the_clock():
    asked = re.compile(r"\butc_now\b|datetime\.(?:utc)?now\b|date\.today\(|(?<!\w)time\.time\(")
    files = [file.relative_to(_ROOT).as_posix() for file in sorted((_ROOT / "hub").rglob("*.py"))]
    found = [file for file in files if asked.search((_ROOT / file).read_text(encoding="utf-8"))]
    assert "hub/app/wiring.py" in found
    assert [
        file for file in found if not file.startswith((*_AT_AN_EDGE, "hub/model/clock.py", "hub/model/__init__.py"))
    ] == []
