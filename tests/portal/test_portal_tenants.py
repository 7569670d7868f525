"""One portal, several municipalities: each domain has its own look, and nobody else's."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from portal_pages import portal_before
from stage import staged

from hub.api.pages import Pages
from hub.cli import main

#: A picture of one pixel.
_PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489")


@pytest.fixture(scope="module")
def site(made_once, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tenants")
    (folder / "impressum.txt").write_text("# Herausgeber\n\nStadt Musterburg, Markt 1 <b>", encoding="utf-8")
    (folder / "wappen.png").write_bytes(_PNG)
    tenant = {"domain": "musterburg.example", "name": "Rathaus Musterburg", "colour": "#7a1f1f", "logo": "wappen.png"}
    tenants = [tenant | {"imprint": "impressum.txt"}]
    with staged(made_once, folder) as stage, portal_before(stage, folder, tenants=tenants) as site:
        yield site


def test_a_domain_shows_its_own_name_colours_logo_and_imprint(site):
    visitor, own = site.visitor(), {"Host": "musterburg.example"}
    page = visitor.get("/", headers=own)
    assert "Rathaus Musterburg" in page.text
    assert 'src="/static/logo"' in page.text
    assert "--link: #7a1f1f" in visitor.get("/static/look.css", headers=own).text
    assert visitor.get("/static/logo", headers=own).headers["content-type"] == "image/png"
    imprint = visitor.get("/impressum", headers=own).text
    assert "Stadt Musterburg, Markt 1 &lt;b&gt;" in imprint
    assert ">Herausgeber</h2>" in imprint


def test_the_other_domain_shows_none_of_it(site):
    visitor = site.visitor()
    assert "Musterburg" not in visitor.get("/").text
    assert "Musterburg" not in visitor.get("/impressum").text
    assert "#7a1f1f" not in visitor.get("/static/look.css").text
    assert visitor.get("/static/logo").status_code == 404


def test_a_form_from_one_domain_is_foreign_to_the_other(site):
    answer = site.visitor().post("/antrag", headers={"Host": "musterburg.example"}, csrf="", service="x", ars="y")
    assert answer.status_code == 403


def test_the_self_check_tries_the_hub_and_names_what_is_missing(site, tmp_path):
    settings = site.portal.settings
    file = tmp_path / "portal.toml"
    hub = settings.hub
    lines = ["[hub]", f'base_url = "{hub.base_url}"', f'client_id = "{hub.client_id}"']
    file.write_text("\n".join([*lines, f'client_secret_file = "{hub.client_secret_file}"']), encoding="utf-8")
    ran = CliRunner().invoke(main, ["doctor", "--for", "portal", "--config", str(file), "--english"])
    assert ran.exit_code == 0, ran.output
    assert "gets a token" in ran.output
    assert "pages.imprint is missing" in ran.output
    file.write_text("\n".join([*lines, 'client_secret_file = "none"', "[serve]", 'hoste = "x"']), encoding="utf-8")
    ran = CliRunner().invoke(main, ["doctor", "--for", "portal", "--config", str(file), "--english"])
    assert ran.exit_code == 1
    assert "serve.hoste" in ran.output


def test_the_hubs_start_page_leads_citizens_to_their_portal():
    import asyncio

    with_portal = asyncio.run(Pages(portal='https://rathaus.example/"<').home()).body
    assert 'href="https://rathaus.example/&quot;&lt;"' in with_portal
    assert "Bürgerportal" not in asyncio.run(Pages().home()).body
