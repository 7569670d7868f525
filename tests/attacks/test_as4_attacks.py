"""What a sender of AS4, or who stands in its way, may try: nothing is believed that the agreed certificate did not sign.

Most of these messages are signed anew by their true sender after they were changed: the shape alone has to refuse them.
"""

from __future__ import annotations

import base64
import gzip
import zlib
from dataclasses import replace
from datetime import timedelta
from itertools import chain

import pytest
from as4_parties import CONTENT, NOW, make, replaced, side, signed_anew

from hub.crypto.messages import PartSealer, new_part_key
from hub.soap.as4 import PartWriter, write_error, write_message, write_receipt
from hub.soap.as4_reader import ENVELOPE_LIMIT, read_envelope
from hub.soap.ebms import Flaw, Unacceptable

_MESSAGING = r"<eb:Messaging .*</eb:Messaging>"
_BODY = r"<S12:Body .*</S12:Body>"
_ID = r'wsu:Id="M-[0-9a-f]{32}"'


def flaw_of(envelope, *, sender="hub", peer=None):
    """Return why an envelope is refused; fail if it is not."""
    with pytest.raises(Unacceptable) as refused:
        read_envelope(envelope).message(peer or side(sender).peer, now=NOW)
    return refused.value.flaw


def found(envelope, pattern):
    """Return what a pattern finds in an envelope."""
    kept = []
    replaced(envelope, pattern, lambda match: kept.append(match[0]) or "")
    return kept[0]


def forged(envelope, *, identifier="forged"):
    """Return the header of another message, with another service."""
    original = found(envelope, _MESSAGING)
    other = original.replace("submit", "delete")
    return other if identifier is None else replaced(other.encode(), _ID, f'wsu:Id="{identifier}"').decode()


# Wrapping.


def test_wrapping_the_signed_header_beside_a_forged_one():
    envelope = make().envelope.content
    twice = envelope.replace(b"</S12:Header>", forged(envelope).encode() + b"</S12:Header>")
    assert flaw_of(twice) is Flaw.UNREADABLE
    same = envelope.replace(b"</S12:Header>", forged(envelope, identifier=None).encode() + b"</S12:Header>")
    assert flaw_of(same) is Flaw.ID_TWICE


@pytest.mark.parametrize(
    "place",
    [
        (r"</wsse:Security>", "{}</wsse:Security>"),
        (r"</ds:Signature>", '<ds:Object xmlns:ds="http://www.w3.org/2000/09/xmldsig#">{}</ds:Object></ds:Signature>'),
        (r"</S12:Body>", "{}</S12:Body>"),
        (r"</S12:Header>", "<wrapper>{}</wrapper></S12:Header>"),
        (r"</S12:Envelope>", "{}</S12:Envelope>"),
    ],
    ids=["in the security header", "in an object of the signature", "in the body", "in a wrapper", "behind the body"],
)
def test_wrapping_the_signed_header_elsewhere(place):
    envelope = make().envelope.content
    original, other = found(envelope, _MESSAGING), forged(envelope)
    moved = replaced(envelope, _MESSAGING, lambda _match: other)
    moved = replaced(moved, place[0], lambda _match: place[1].format(original))
    assert flaw_of(moved) in {Flaw.UNREADABLE, Flaw.UNSIGNED}


def test_wrapping_the_signed_body_in_a_header():
    envelope = make().envelope.content
    body = found(envelope, _BODY)
    moved = replaced(envelope, _BODY, lambda _match: "<S12:Body>x</S12:Body>").replace(
        b"</S12:Header>", body.encode() + b"</S12:Header>"
    )
    assert flaw_of(moved) is Flaw.UNREADABLE


def test_a_forged_header_that_takes_the_signed_ones_place_and_id():
    envelope = make().envelope.content
    swapped = replaced(envelope, _MESSAGING, lambda _match: forged(envelope, identifier=None))
    assert flaw_of(swapped) is Flaw.WRONG_DIGEST


@pytest.mark.parametrize("spelling", ["Id", "ID", "id", "xml:id"])
def test_an_id_that_occurs_twice_however_it_is_spelled(spelling):
    envelope = make().envelope.content
    name = found(envelope, _ID).partition('"')[2].rstrip('"')
    twice = replaced(envelope, r"<ds:KeyInfo>(?=<wsse:SecurityTokenReference><wsse:Reference[^>]*/></wsse:SecurityTokenReference></ds:KeyInfo></ds:Signature>)", f'<ds:KeyInfo {spelling}="{name}">')  # fmt: skip  # noqa: E501
    assert flaw_of(twice) is Flaw.ID_TWICE


# What is signed.


@pytest.mark.parametrize("reference", ["#M-", "#B-", "cid:"], ids=["the header", "the body", "a part"])
def test_what_must_be_signed_and_is_not(reference):
    envelope = make().envelope.content
    without = replaced(envelope, rf'<ds:Reference URI="{reference}.*?</ds:Reference>', "")
    assert flaw_of(signed_anew(without, side("hub").key)) is Flaw.UNSIGNED


def test_a_part_that_nobody_signed():
    envelope = make({"one@hub": CONTENT, "two@hub": CONTENT}).envelope.content
    without = replaced(envelope, r'<ds:Reference URI="cid:two@hub".*?</ds:Reference>', "")
    assert flaw_of(signed_anew(without, side("hub").key)) is Flaw.UNSIGNED


def test_a_reference_that_occurs_twice():
    envelope = make().envelope.content
    reference = found(envelope, r'<ds:Reference URI="#B-.*?</ds:Reference>')
    twice = replaced(envelope, r"</ds:SignedInfo>", lambda _match: f"{reference}</ds:SignedInfo>")
    assert flaw_of(signed_anew(twice, side("hub").key)) is Flaw.UNSIGNED


@pytest.mark.parametrize("uri", ["", "#xpointer(/)", "https://evil.example/", "file:///etc/hostname", "#elsewhere"])
def test_a_reference_to_something_else_is_never_followed(uri):
    envelope = make().envelope.content
    other = replaced(envelope, r'<ds:Reference URI="#B-[0-9a-f]+"', f'<ds:Reference URI="{uri}"')
    assert flaw_of(signed_anew(other, side("hub").key)) in {Flaw.UNSIGNED, Flaw.UNREADABLE}


def test_a_message_without_signature():
    envelope = make().envelope.content
    assert flaw_of(replaced(envelope, r"<ds:Signature .*</ds:Signature>", "")) is Flaw.UNSIGNED
    assert flaw_of(replaced(envelope, r"<wsse:Security .*</wsse:Security>", "")) is Flaw.UNSIGNED


def test_two_signatures():
    envelope = make().envelope.content
    signature = found(envelope, r"<ds:Signature .*</ds:Signature>")
    assert flaw_of(replaced(envelope, r"</wsse:Security>", lambda _: f"{signature}</wsse:Security>")) is Flaw.UNSIGNED


@pytest.mark.parametrize("word", ["submit", "urn:example:agreement", "bauamt", "five5555"])
def test_a_changed_word_in_the_header(word):
    envelope = make(conversation="five5555").envelope.content
    assert flaw_of(envelope.replace(f">{word}<".encode(), b">another<")) is Flaw.WRONG_DIGEST


def test_a_wrong_digest_that_is_signed():
    envelope = make().envelope.content
    wrong = base64.b64encode(bytes(32)).decode()
    other = replaced(envelope, r"<ds:DigestValue>[^<]+", f"<ds:DigestValue>{wrong}")
    assert flaw_of(signed_anew(other, side("hub").key, digests=False)) is Flaw.WRONG_DIGEST


def test_a_changed_signature():
    envelope = make().envelope.content
    wrong = base64.b64encode(bytes(256)).decode()
    assert flaw_of(replaced(envelope, r"(<ds:SignatureValue>)[^<]+", rf"\g<1>{wrong}")) is Flaw.WRONG_SIGNATURE


# Transforms and algorithms.


_TRANSFORM = r'<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:Transform>'


@pytest.mark.parametrize(
    "transforms",
    [
        "",
        f"{_TRANSFORM}{_TRANSFORM}",
        '<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"></ds:Transform>',
        '<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116"><ds:XPath>/*</ds:XPath></ds:Transform>',
        '<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xslt-19991116"><xsl/></ds:Transform>',
        '<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#WithComments"></ds:Transform>',
        '<ds:Transform Algorithm="http://www.w3.org/TR/2001/REC-xml-c14n-20010315"></ds:Transform>',
        '<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"><x/></ds:Transform>',
        '<ds:Transform Algorithm="http://docs.oasis-open.org/wss/2004/01/security#STR-Transform"></ds:Transform>',
    ],
    ids=["none", "two", "enveloped", "XPath", "XSLT", "with comments", "inclusive", "with a stranger inside", "STR"],
)
def test_a_transform_that_is_not_the_one(transforms):
    envelope = make().envelope.content
    other = replaced(envelope, _TRANSFORM, transforms)
    assert flaw_of(signed_anew(other, side("hub").key, digests=False)) in {Flaw.TRANSFORM, Flaw.UNREADABLE}


def test_a_part_under_a_transform_for_elements():
    envelope = make().envelope.content
    other = replaced(
        envelope, r"http://docs[^\"]*#Attachment-Content-Signature-Transform", "http://www.w3.org/2001/10/xml-exc-c14n#"
    )
    assert flaw_of(signed_anew(other, side("hub").key)) is Flaw.TRANSFORM


@pytest.mark.parametrize("prefixes", [" ".join(f"p{number}" for number in range(17)), "a:b", "<", "x" * 40])
def test_prefixes_that_nobody_means(prefixes):
    listed = prefixes.replace("<", "&lt;")
    inner = f'<ec:InclusiveNamespaces xmlns:ec="http://www.w3.org/2001/10/xml-exc-c14n#" PrefixList="{listed}"/>'
    envelope = replaced(make().envelope.content, _TRANSFORM, _TRANSFORM.replace("></", f">{inner}</"))
    assert flaw_of(signed_anew(envelope, side("hub").key, digests=False)) is Flaw.TRANSFORM


@pytest.mark.parametrize(
    ("agreed", "other"),
    [
        ("http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", "http://www.w3.org/2000/09/xmldsig#rsa-sha1"),
        ("http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256"),
        ("http://www.w3.org/2001/04/xmlenc#sha256", "http://www.w3.org/2000/09/xmldsig#sha1"),
        ("http://www.w3.org/2009/xmlenc11#aes128-gcm", "http://www.w3.org/2001/04/xmlenc#aes128-cbc"),
        ("http://www.w3.org/2009/xmlenc11#rsa-oaep", "http://www.w3.org/2001/04/xmlenc#rsa-1_5"),
        ("http://www.w3.org/2009/xmlenc11#mgf1sha256", "http://www.w3.org/2009/xmlenc11#mgf1sha1"),
    ],
    ids=["RSA with SHA-1", "an HMAC", "SHA-1", "CBC", "PKCS 1.5", "another mask"],
)
def test_an_algorithm_of_another_profile(agreed, other):
    envelope = make().envelope.content.replace(agreed.encode(), other.encode())
    assert flaw_of(signed_anew(envelope, side("hub").key)) is Flaw.ALGORITHM


# Who signed.


def test_somebody_elses_signature_with_their_own_certificate():
    envelope = make(sender="eve").envelope.content
    assert flaw_of(envelope, sender="hub") is Flaw.WRONG_CERTIFICATE


def test_somebody_elses_signature_under_the_agreed_certificate():
    eve, hub = (base64.b64encode(side(name).peer.der) for name in ("eve", "hub"))
    assert flaw_of(make(sender="eve").envelope.content.replace(eve, hub)) is Flaw.WRONG_SIGNATURE


def test_the_agreed_certificate_once_it_has_expired():
    made = make(sender="hub")
    ended = replace(side("hub").peer, ends=NOW - timedelta(minutes=1))
    assert flaw_of(made.envelope.content, peer=ended) is Flaw.WRONG_CERTIFICATE


def test_a_token_that_nobody_uses():
    envelope = make().envelope.content
    token = found(envelope, r"<wsse:BinarySecurityToken .*?</wsse:BinarySecurityToken>")
    other = replaced(token.encode(), r'wsu:Id="[^"]+"', 'wsu:Id="spare"').decode()
    more = replaced(envelope, r"<ds:Signature ", lambda match: other + match[0])
    assert flaw_of(more) is Flaw.UNREADABLE


# XML.


@pytest.mark.parametrize(
    "before",
    [
        '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/hostname">]>',
        '<!DOCTYPE x SYSTEM "https://evil.example/x.dtd">',
        "<!-- a comment -->",
        "<?evil instruction?>",
        '<?xml version="1.0"?><?xml-stylesheet href="x"?>',
    ],
    ids=["an entity", "an external document type", "a comment", "an instruction", "a style sheet"],
)
def test_xml_that_is_more_than_elements_is_refused_unread(before):
    assert flaw_of(before.encode() + make().envelope.content) is Flaw.FORBIDDEN_XML


@pytest.mark.parametrize("inside", ["<!---->", "<![CDATA[x]]>", "<?x?>"], ids=["a comment", "CDATA", "an instruction"])
def test_a_comment_that_would_cut_a_text_in_two(inside):
    envelope = make().envelope.content.replace(b">submit<", f">sub{inside}mit<".encode())
    assert flaw_of(envelope) is Flaw.FORBIDDEN_XML


def test_an_entity_that_nobody_declared():
    assert flaw_of(make().envelope.content.replace(b">submit<", b">&e;<")) is Flaw.UNREADABLE


@pytest.mark.parametrize("encoding", ["utf-16", "utf-7", "cp1252"])
def test_another_encoding(encoding):
    text = f'<?xml version="1.0" encoding="{encoding}"?>' + make().envelope.content.decode()
    assert flaw_of(text.encode(encoding)) in {Flaw.UNREADABLE, Flaw.FORBIDDEN_XML}


def test_size_depth_and_number_are_bounded():
    envelope = make().envelope.content
    assert flaw_of(envelope + b" " * ENVELOPE_LIMIT) is Flaw.TOO_LARGE
    for inside in (
        "<b>" * 40 + "</b>" * 40,
        "<b/>" * 7000,
        f"<b {' '.join(f'a{n}=' + chr(34) * 2 for n in range(9))}/>",
    ):
        assert flaw_of(envelope.replace(b"</S12:Body>", inside.encode() + b"</S12:Body>")) is Flaw.TOO_LARGE


def test_an_element_or_attribute_that_nobody_agreed_on():
    envelope = make().envelope.content
    for pattern, by in (
        (b"<eb:Action>", b"<eb:Strange>x</eb:Strange><eb:Action>"),
        (b"<eb:Action>", b"<eb:Action>two</eb:Action><eb:Action>"),
        (b"<eb:PartInfo ", b'<eb:PartInfo location="x" '),
        (b"<ds:Reference URI", b'<ds:Reference Type="x" URI'),
        (b"<ds:SignedInfo ", b'<ds:SignedInfo Id="x" '),
    ):
        assert flaw_of(signed_anew(envelope.replace(pattern, by, 1), side("hub").key)) is Flaw.UNREADABLE


@pytest.mark.parametrize("value", ["no-at-sign", "a@b\n", "<x>@hub", "a b@hub", "x" * 300 + "@hub"])
def test_a_message_id_that_is_none(value):
    envelope = make().envelope.content
    spelled = value.replace("<", "&lt;").replace("\n", "&#10;x")
    other = replaced(envelope, r"(<eb:MessageId>)[^<]+", lambda match: match[1] + spelled)
    assert flaw_of(signed_anew(other, side("hub").key)) is Flaw.UNREADABLE


# Parts.


def opened(made, *, limit=10**6):
    message = read_envelope(made.envelope.content).message(side("hub").peer, now=NOW)
    return message.open(side("bauamt").key, limit=limit)


def part_flaw(made, sealed, *, limit=10**6, cid="one@hub"):
    """Return why a part is refused; fail if it is not."""
    with pytest.raises(Unacceptable) as refused:
        drained(opened(made, limit=limit).reader(cid), sealed)
    return refused.value.flaw


def drained(reader, sealed):
    """Read a part whole; return how many bytes it came to."""
    return sum(map(len, chain(reader.write(sealed), reader.finish())))


def crafted(compressed):
    """Return a message whose one part is signed and sealed as it stands, whatever it is."""
    part_key, writer = new_part_key(), PartWriter(new_part_key())
    sealer = PartSealer(part_key)
    writer._digest.update(compressed)
    made = make()
    envelope = write_message(
        made.message, {"one@hub": writer.digest}, part_key=part_key, key=side("hub").key, peer=side("bauamt").peer
    )
    sealed = sealer.head + sealer.write(compressed) + sealer.finish()
    return replace(made, envelope=envelope, sealed={"one@hub": sealed})


@pytest.mark.parametrize("at", [0, 11, 12, 40, -16, -1])
def test_one_wrong_bit_in_a_sealed_part(at):
    made = make()
    sealed = bytearray(made.sealed["one@hub"])
    sealed[at] ^= 1
    assert part_flaw(made, bytes(sealed)) in {Flaw.NOT_DECRYPTED, Flaw.NOT_DECOMPRESSED}


@pytest.mark.parametrize(
    "cut", [lambda sealed: sealed[:-1], lambda sealed: sealed + b"x", lambda _sealed: b"", lambda sealed: sealed[:20]]
)
def test_a_part_that_lacks_its_end_or_goes_on(cut):
    made = make()
    assert part_flaw(made, cut(made.sealed["one@hub"])) in {Flaw.NOT_DECRYPTED, Flaw.NOT_DECOMPRESSED}


def test_a_part_that_was_sealed_under_the_key_and_not_signed():
    """Who knows the key of the parts, or can have them sealed, still cannot exchange one."""
    made, part_key = make(), new_part_key()
    writer = PartWriter(part_key)
    writer.write(CONTENT)
    writer.finish()
    envelope = write_message(
        made.message, {"one@hub": writer.digest}, part_key=part_key, key=side("hub").key, peer=side("bauamt").peer
    )
    other = PartWriter(part_key)
    sealed = other.write(b"other contents") + other.finish()
    assert part_flaw(replace(made, envelope=envelope), sealed) is Flaw.WRONG_DIGEST


def test_parts_that_changed_places():
    made = make({"one@hub": CONTENT, "two@hub": CONTENT + b"x"})
    assert part_flaw(made, made.sealed["two@hub"]) is Flaw.WRONG_DIGEST


def test_a_part_that_nobody_announced_one_that_comes_twice_and_one_that_does_not_come():
    made = make()
    parts = opened(made)
    with pytest.raises(Unacceptable):
        parts.reader("stranger@hub")
    with pytest.raises(Unacceptable):
        parts.finish()
    parts.reader("one@hub")
    with pytest.raises(Unacceptable):
        parts.reader("one@hub")
    parts.finish()


def test_a_compression_bomb_ends_at_the_limit():
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(64)), packer.flush()])
    made = crafted(bomb)
    reader, sizes = opened(made, limit=100_000).reader("one@hub"), []
    with pytest.raises(Unacceptable) as refused:
        sizes.extend(map(len, reader.write(made.sealed["one@hub"])))
    assert (refused.value.flaw, 0 < sum(sizes) <= 100_000, max(sizes) <= 64 * 1024) == (
        Flaw.NOT_DECOMPRESSED,
        True,
        True,
    )


@pytest.mark.parametrize(
    "compressed",
    [
        gzip.compress(CONTENT) + gzip.compress(CONTENT),
        gzip.compress(CONTENT) + b"rest",
        gzip.compress(CONTENT)[:-4],
        gzip.compress(CONTENT)[:-1] + b"x",
        zlib.compress(CONTENT),
        CONTENT,
        b"",
    ],
    ids=["two members", "a rest", "no end", "a wrong length", "another format", "as it is", "nothing"],
)
def test_what_is_no_one_gzip_member(compressed):
    made = crafted(compressed)
    assert part_flaw(made, made.sealed["one@hub"]) is Flaw.NOT_DECOMPRESSED


def test_a_wrong_key_and_a_wrong_tag_cannot_be_told_apart():
    """Nobody learns from the refusal whether a wrapped key was one (Manger's attack on OAEP)."""
    made = make()
    wrong = replaced(
        made.envelope.content, r"(<xenc:CipherValue>)[^<]+", rf"\g<1>{base64.b64encode(bytes(256)).decode()}"
    )
    message = read_envelope(wrong).message(side("hub").peer, now=NOW)
    with pytest.raises(Unacceptable) as refused:
        message.open(side("bauamt").key, limit=10)
    sealed = made.sealed["one@hub"]
    assert refused.value.flaw is part_flaw(made, sealed[:-1] + bytes([sealed[-1] ^ 1])) is Flaw.NOT_DECRYPTED


def test_a_part_that_is_not_encrypted():
    envelope = make({"one@hub": CONTENT, "two@hub": CONTENT}).envelope.content
    data = found(
        envelope, r"<xenc:EncryptedData [^>]*>(?:(?!</xenc:EncryptedData>).)*cid:two@hub.*?</xenc:EncryptedData>"
    )
    name = data.partition('Id="')[2].partition('"')[0]
    last = data[data.rindex("<xenc:EncryptedData ") :]
    name = last.partition('Id="')[2].partition('"')[0]
    without = envelope.replace(last.encode(), b"").replace(f'<xenc:DataReference URI="#{name}"/>'.encode(), b"")
    assert flaw_of(without) is Flaw.UNENCRYPTED
    bare = replaced(envelope, r"<xenc:EncryptedKey .*</xenc:EncryptedData>", "")
    assert flaw_of(bare) is Flaw.UNREADABLE  # A token that nobody uses is left.
    token = found(envelope, r"<wsse:BinarySecurityToken .*?</wsse:BinarySecurityToken>")
    assert flaw_of(bare.replace(token.encode(), b"")) is Flaw.UNENCRYPTED


# Signals.


def test_a_receipt_that_nobody_signed_or_somebody_else_did():
    made = make()
    references = read_envelope(made.envelope.content).message(side("hub").peer, now=NOW).references
    receipt = write_receipt("r@eve", NOW, refers_to=made.message.message_id, references=references, key=side("eve").key)
    for content, flaw in (
        (receipt, Flaw.WRONG_CERTIFICATE),
        (replaced(receipt, r"<wsse:Security .*</wsse:Security>", ""), Flaw.UNSIGNED),
    ):
        with pytest.raises(Unacceptable) as refused:
            read_envelope(content).signal(side("bauamt").peer, now=NOW)
        assert refused.value.flaw is flaw


def test_an_error_that_nobody_signed_says_so():
    error = write_error("e@bauamt", NOW, refers_to="m@hub", flaw=Flaw.NOT_DECOMPRESSED, key=side("bauamt").key)
    bare = replaced(error, r"<wsse:Security .*</wsse:Security>", "")
    assert read_envelope(bare).signal(side("bauamt").peer, now=NOW).signed is False
    with pytest.raises(Unacceptable):
        read_envelope(error).signal(side("eve").peer, now=NOW)


def test_a_message_of_the_hubs_own_is_no_receipt():
    with pytest.raises(Unacceptable):
        read_envelope(make().envelope.content).signal(side("hub").peer, now=NOW)
