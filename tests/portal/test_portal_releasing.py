"""Several people on one application: it goes when all have released the same document, and the authority learns who did."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from people import answered, begun, key_on, session_of, typed_on
from sealed_door import Door
from stage import BAUANTRAG, CANARY

from hub.crypto import decrypt, read_decryption_key
from hub.errors import Conflict, Text, Unavailable
from hub.portal import releasing
from hub.portal.codes import TypedKey
from hub.portal.releasing import ReleaseRounds, ReleasingPerson
from hub.portal.session import FormSchema

PRODUCT = {"name": "x", "version": "1", "manufacturer": "x"}
#: The one that the example is of.
SCHEMA = FormSchema(uri="https://schema.rathaus-hub.example/bauantrag/1.0/bauantrag.xsd", sha256="")
_WAY = re.compile(r"/freigabe/([0-9A-Z-]{14})</dd>.*?nowrap\">([0-9A-Z-]{14})<", re.DOTALL)


def frozen(site: Any, *people: str) -> tuple[Any, dict[str, str], list[dict[str, str]]]:
    """Somebody who sent an application that others have to release; how each gets to it."""
    visitor = begun(site)
    visitor.post("/freigabe/personen", at="/freigabe/personen", role=list(people))
    pending = {
        "document": base64.b64encode(BAUANTRAG).decode(),
        "files": [],
        "metadata": {"author": {"name": "Portal", "description": "nobody", "product": PRODUCT}},
    }
    answered(site, visitor, pending=pending, schema=SCHEMA)
    page = visitor.post("/antrag/senden", at="/freigabe/personen")
    assert page.status_code == 200, page.text
    assert page.url.endswith("/freigabe/links")
    ways = [{"reference": reference, "code": code} for reference, code in _WAY.findall(page.text)]
    assert len(ways) == len(people)
    return visitor, typed_on(page.text), ways


def release(visitor: Any, page: str, name: str = "Otto", **more: str) -> Any:
    sha512 = re.search(r'name="sha512" value="([0-9a-f]{128})"', page)[1]
    return visitor.post(
        "/freigabe/erteilen", csrf="", key=key_on(page), do="release", name=name, **{"sha512": sha512, **more}
    )


@pytest.fixture(scope="module")
def door(portal_site):
    return Door(portal_site.hub)


def test_it_goes_when_all_have_released_it_and_the_authority_learns_who_did(portal_site, door):
    site = portal_site
    _, own, ways = frozen(site, "Bauherrin", "Entwurfsverfasser")
    visitors = [site.visitor() for _ in ways]
    pages = [visitor.post("/freigabe", csrf="", **way) for visitor, way in zip(visitors, ways, strict=True)]
    assert all("noch nicht" in page.text for page in pages)
    first = release(visitors[0], pages[0].text, f"Ida {CANARY}")
    assert "Sie haben freigegeben" in first.text
    overview = site.visitor().post("/freigabe", csrf="", **own).text
    assert (CANARY in overview, "noch nicht" in overview) == (True, True)
    assert "kein abgesendeter Antrag" in site.visitor().post("/stand", csrf="", **own).text
    last = release(visitors[1], pages[1].text, "Otto")
    assert "Der Antrag ist gesendet" in last.text, last.text
    status = site.visitor().post("/stand", csrf="", **own)
    assert "Ihr Antrag ist eingegangen" in status.text
    assert "Der Antrag ist gesendet" in visitors[0].post("/freigabe/erteilen", csrf="", key=key_on(first.text)).text

    submission = re.search(r"[0-9a-f]{8}-[0-9a-f-]{27}", status.text)[0]
    author = metadata(door, submission)["author"]
    assert [(each["role"], each["name"]) for each in author["releases"]] == [
        ("Bauherrin", f"Ida {CANARY}"),
        ("Entwurfsverfasser", "Otto"),
    ]
    assert "released by: Bauherrin: Ida" in author["description"]


def metadata(door: Door, submission: str) -> dict[str, Any]:
    """What the authority reads of a submission."""
    message = door.hub.store.submissions.message(UUID(submission))
    place = str(message.destination_id)
    cast = next(each for each in door.stage.cast["destinations"] if each["destination_id"] == place)
    key = read_decryption_key(cast["private_decryption_jwk"], written_by_us=True)
    sealed = b"".join(door.hub.blobs.chunks(message.contents.metadata))
    return orjson.loads(decrypt(sealed, [key], max_output=1_000_000))


def test_a_release_is_withdrawn_as_long_as_it_has_not_gone(portal_site):
    site = portal_site
    _, _, ways = frozen(site, "Bauherr", "Planerin")
    visitor = site.visitor()
    page = release(visitor, visitor.post("/freigabe", csrf="", **ways[0]).text, "Otto").text
    back = visitor.post("/freigabe/erteilen", csrf="", key=key_on(page), do="back")
    assert 'value="release"' in back.text
    other = site.visitor()
    release(other, other.post("/freigabe", csrf="", **ways[1]).text, "Ida")
    assert "noch nicht" in release(visitor, back.text, " ").text
    assert "Geben Sie Ihren Namen an" in release(visitor, back.text, " ").text


def test_another_document_than_the_one_that_was_shown_is_not_released(portal_site):
    site = portal_site
    _, _, ways = frozen(site, "Bauherr")
    visitor = site.visitor()
    page = visitor.post("/freigabe", csrf="", **ways[0]).text
    assert release(visitor, page, sha512="0" * 128).status_code == 409


def test_who_began_it_takes_it_back_and_the_others_ways_lead_nowhere(portal_site):
    site = portal_site
    filling, own, ways = frozen(site, "Bauherr")
    visitor = site.visitor()
    # The form itself is not sent by whoever filled it in, and nobody is added any more.
    assert filling.get("/antrag/pruefen").url.endswith("/freigabe/links")
    filling.post("/freigabe/personen", at="/freigabe/personen", role="Noch jemand")
    assert session_of(site, filling).running.extra["people"] == ["Bauherr"]
    page = visitor.post("/freigabe", csrf="", **own).text
    signer = site.visitor()
    before = signer.post("/freigabe", csrf="", **ways[0]).text
    # Somebody who only has to release it cannot take it back.
    signer.post("/freigabe/erteilen", csrf="", key=key_on(before), do="end")
    assert 'value="release"' in signer.post("/freigabe", csrf="", **ways[0]).text
    assert visitor.post("/freigabe/erteilen", csrf="", key=key_on(page), do="end").status_code == 200
    assert signer.post("/freigabe", csrf="", **ways[0]).status_code == 410
    assert release(signer, before).status_code == 404


def test_what_is_not_released_in_time_is_deleted(portal_site):
    site = portal_site
    _, own, ways = frozen(site, "Bauherr")
    site.clock.pass_(days=28)
    assert site.visitor().post("/freigabe", csrf="", **own).status_code == 422
    assert site.visitor().post("/freigabe", csrf="", **ways[0]).status_code == 422
    assert site.portal.storage.expire(site.clock()) >= 2


def test_while_the_hub_is_away_it_stays_released_and_whoever_looks_next_sends_it_once(portal_site):
    site = portal_site
    visitor = begun(site)
    pending = {"document": base64.b64encode(BAUANTRAG).decode(), "files": [], "metadata": {}}
    session = answered(site, visitor, pending=pending, extra={"people": ["Bauherr"]})
    begun_session = releasing.begin(site.portal, session, site.clock())
    sent: list[Any] = []

    def send(form: Any) -> Any:
        sent.append(form.running)
        raise Unavailable(Text("weg", "away"))

    rounds = ReleaseRounds(site.portal, send)
    typed = begun_session.running.extra["releasing"]["people"][0]
    key = TypedKey.read(typed["reference"], typed["code"]).form_key()
    way = releasing.way_of(key, site.portal.storage.read(key, now=site.clock()))
    found = rounds.show(way, site.clock())
    stays = rounds.release(way, "Otto", found.sha512, site.clock())
    assert stays.complete
    again = rounds.send_if_complete(way.key, rounds.show(way, site.clock()), site.clock() + timedelta(hours=1))
    assert again.complete
    site.clock.pass_(minutes=1)
    assert rounds.release(way, "Ida", found.sha512, site.clock()).people == again.people
    with pytest.raises(Conflict):
        rounds.end(replace(way, person=None), site.clock())
    assert len({each.idempotency_key for each in sent}) == 1
    assert sent[2].pending == sent[0].pending
    assert sent[0].pending == sent[1].pending
    assert replace(stays.people[0], at="") == ReleasingPerson(role="Bauherr", name="Otto")


def test_people_are_named_in_bounds(portal_site):
    visitor = begun(portal_site)
    for roles in (["x" * 121], ["a\u0000b"], [str(number) for number in range(11)]):
        assert visitor.post("/freigabe/personen", at="/freigabe/personen", role=roles).status_code == 422
    assert session_of(portal_site, visitor).running.extra.get("people") is None
