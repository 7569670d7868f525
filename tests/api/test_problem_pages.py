"""Each kind of refusal has a page: what it means and what to do, in German and in English."""

from __future__ import annotations

import ast
import re
from html import unescape
from pathlib import Path

from stand_in import Client

from hub import app
from hub.api.pages import explanations
from hub.api.problems import problem_of, titles
from hub.errors import HubError, Text

_ROOT = Path(__file__).parents[2]


def slugs_in_the_sources() -> set[str]:
    """Every slug that the sources give, to a class or to an error; a class's is inherited by others."""
    found = set()
    for file in [*(_ROOT / "hub").rglob("*.py"), *(_ROOT / "adapters").rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "slug" and isinstance(node.value, ast.Constant):
                found.add(node.value.value)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "not_found":
                found |= {each.value for each in node.args[:1] if isinstance(each, ast.Constant)}
    return {slug for slug in found if slug is not None}


def test_every_slug_has_a_title_and_an_explanation_and_none_is_left_over():
    known = titles().keys()
    assert slugs_in_the_sources() - known == set()
    assert explanations().keys() == known
    for slug, (meaning, remedy) in explanations().items():
        for text in (meaning, remedy):
            assert text.de != text.en
            assert re.search(r"[.…]$", text.de), slug
            assert re.search(r"[.…]$", text.en), slug


def test_every_page_is_there_and_speaks_german_first(stage):
    client = Client(app.asgi(stage.hub, work=False))
    listed = re.findall(r'href="/problems/([^"]+)"', client.get("/problems").body.decode())
    assert sorted(listed) == listed == sorted(titles())
    for slug, (meaning, remedy) in explanations().items():
        answer = client.get(f"/problems/{slug}")
        page = unescape(answer.body.decode())
        assert answer.status == 200, slug
        places = [page.index(text) for text in (f"problem:{slug}<", meaning.de, remedy.de, meaning.en, remedy.en)]
        assert places == sorted(places), slug
    assert client.get("/problems/no-such-kind").status == 404


def test_a_problem_leads_to_its_page_on_the_hubs_own_paths_alone():
    problem = problem_of(HubError(Text("a", "b"), slug="outdated"))
    assert problem.document("/hub/v1/x", "de")["help"] == "/problems/outdated"
    assert problem.document("/hub/v1/x", "de")["title"] == "Entwurf veraltet"
    assert "help" not in problem.document("/v2/submissions", "de")
