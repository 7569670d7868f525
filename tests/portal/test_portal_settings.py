"""The portal's settings: strict, all faults at once, and colours that everybody can read."""

from __future__ import annotations

import pytest

from hub.errors import ConfigurationError
from hub.portal.look import contrast, written
from hub.portal.settings import PortalSettings

HUB = {"base_url": "https://hub.example", "client_id": "a", "client_secret_file": "secret"}


def faults(document, folder):
    with pytest.raises(ConfigurationError) as refused:
        PortalSettings.parse(document, folder)
    return [fault.en for fault in refused.value.members["faults"]]


def test_all_faults_are_said_at_once_and_in_both_languages(tmp_path):
    document = {
        "environment": "production",
        "hub": {"base_url": "http://hub.example", "client_id": "a"},
        "serve": {"port": 70_000, "public_url": "http://127.0.0.1:8081/way"},
        "look": {"colour": "#8899ff", "colour_dark": "blue", "logo": "none.svg"},
        "pages": {"imprint": "none.txt"},
        "limits": {"attachment_megabytes": 900, "attachmentz": 1},
        "tenants": [
            {"domain": "https://rathaus.example"},
            {"domain": "b.example", "name": "B"},
            {"domain": "b.example"},
        ],
    }
    found = faults(document, tmp_path)
    said = {fault.partition(":")[0] for fault in found}
    assert {
        *(
            "hub.base_url",
            "hub.client_secret_file",
            "serve.port",
            "serve.public_url",
            "look.colour",
            "look.colour_dark",
        ),
        *("look.logo", "pages.imprint", "limits.attachment_megabytes", "limits.attachmentz"),
        *("tenants[0].domain", "tenants[2].domain"),
    } <= said
    assert any("2." in fault and "4.5" in fault for fault in found if fault.startswith("look.colour:"))
    assert "900" not in " ".join(found)


def test_a_secret_in_an_address_is_not_repeated(tmp_path):
    document = {"hub": {**HUB, "base_url": "https://user:canary@hub.example"}}
    found = faults(document, tmp_path)
    assert any("secret" in fault for fault in found)
    assert "canary" not in " ".join(found)


def test_production_asks_for_https_and_development_does_not(tmp_path):
    assert not PortalSettings.parse({"hub": HUB}, tmp_path).secure
    assert any("production" in fault for fault in faults({"environment": "production", "hub": HUB}, tmp_path))
    public = {"serve": {"public_url": "https://rathaus.example"}}
    assert PortalSettings.parse({"environment": "production", "hub": HUB, **public}, tmp_path).secure


def test_a_domain_has_what_it_says_of_its_look_and_the_rest_from_above(tmp_path):
    (tmp_path / "imprint.txt").write_text("Musterstadt")
    settings = PortalSettings.parse(
        {
            "hub": HUB,
            "look": {"name": "Land", "colour": "#004d40"},
            "pages": {"imprint": "imprint.txt"},
            "tenants": [{"domain": "Stadt.example", "name": "Stadt", "colour_dark": "#b2dfdb"}],
        },
        tmp_path,
    )
    look = settings.looks["stadt.example"]
    assert (look.name, look.colour, look.colour_dark) == ("Stadt", "#004d40", "#b2dfdb")
    assert look.page("imprint") == "<p>Musterstadt</p>"
    assert look.page("privacy") is None


def test_contrast_is_wcags():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    assert contrast("#ffffff", "#ffffff") == 1


def test_what_an_operator_writes_is_text_and_no_markup():
    made = written("# Wer\n\nStadt <script>alert(1)</script>\nMarkt 1\n\n- a & b\n- c")
    assert made == (
        '<h2 class="kern-heading-medium">Wer</h2>\n<p>Stadt &lt;script&gt;alert(1)&lt;/script&gt;<br>Markt 1</p>\n'
        "<ul><li>a &amp; b</li><li>c</li></ul>"
    )
