"""Our steps in a building procedure as XBau's messages: the table is whole, names what there is, and stands in the export."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from shared_data import XBAU, needs_shared_data

from hub.connector.xbau import HAND_ON, step_names, xbau_table
from hub.services import ServiceCatalogue

LEIKA = "urn:de:fim:leika:leistung:"
PERMIT, SIMPLIFIED, PRELIMINARY, EXEMPTION = (
    f"{LEIKA}{key}" for key in ("99012008001000", "99012008001001", "99012010001000", "99012027000000")
)
_MESSAGE = re.compile(r'<xs:element name="([A-Za-z0-9.]+\.[0-9]{4})"')
_SPACE = re.compile(r'targetNamespace="([^"]+)"')


def test_every_step_of_every_procedure_is_a_message_or_says_why_it_is_none():
    table = xbau_table()
    assert set(table.procedures) == {PERMIT, SIMPLIFIED, PRELIMINARY, EXEMPTION}
    for steps in table.steps.values():
        assert set(steps) == step_names()
        for name, step in steps.items():
            assert bool(step.message) is (step.why_none is None), name
            assert step.why_none is None or step.why_none.de != step.why_none.en, name


def test_the_procedures_are_services_of_the_catalogue_and_others_are_no_steps():
    catalogue = ServiceCatalogue.load(Path(__file__).parents[2] / "routing_rules")
    table = xbau_table()
    assert all(service in catalogue for service in table.procedures)
    assert table.step(f"{LEIKA}99102013000000", "application") is None
    assert table.step(PERMIT.replace(":leika:", ":"), "application") == table.step(PERMIT, "application")


@pytest.mark.parametrize(
    ("service", "step", "message"),
    [
        (PERMIT, "application", "baugenehmigung.antrag.0200"),
        (SIMPLIFIED, "decision", "baugenehmigung.bescheid.0205"),
        (PRELIMINARY, "documents", "vorbescheid.formellePruefung.0211"),
        (EXEMPTION, "application", "genehmigungsfreistellung.anzeige.0600"),
        (EXEMPTION, HAND_ON, "genehmigungsfreistellung.ergebnisBAB.0603"),
        (PERMIT, "withdrawal", "prozessnachrichten.ruecknahme.1130"),
    ],
)
def test_a_step_is_the_message_that_the_standard_has_for_it(service, step, message):
    assert xbau_table().step(service, step).message == message


@needs_shared_data
def test_every_message_of_the_table_is_one_of_the_standards_schemas():
    published = set()
    for path in (XBAU / "xsd").glob("*.xsd"):
        text = path.read_text(encoding="utf-8")
        published |= {(name, _SPACE.search(text)[1]) for name in _MESSAGE.findall(text)}
    named = {
        (step.message, step.namespace)
        for steps in xbau_table().steps.values()
        for step in steps.values()
        if step.message
    }
    assert len(named) > 15
    assert named - published == set()
