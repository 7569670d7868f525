"""Official Schematron packages, as Maven's repository has them, say by the hub what their official translation says.

The validator of the Mustang project carries KoSIT's XRechnung rules twice: as Schematron, the older ones spread over files that
they include, and as the XSLT that was made of them.
"""

from __future__ import annotations

import random
import re
import shutil
import zipfile
from datetime import date
from pathlib import Path

import pytest
from lxml import etree
from maven import copied

from benchmarks.made_messages import Maker
from hub.errors import ConfigurationError
from hub.model import MediaType
from hub.validation.catalog import SchemaCatalog
from hub.validation.importing import import_standard
from hub.validation.report import Check, Limits
from hub.validation.schematron import saxon
from hub.validation.schematron.rules import BusinessRules, rule_files
from hub.validation.xml.documents import read_xml
from hub.validation.xml.report import Vocabulary

pytestmark = pytest.mark.skipif(not saxon.installed(), reason="the extra 'schematron' (saxonche) is not installed")
ARTIFACT = "org.mustangproject:validator:2.16.1"
ON = date(2026, 11, 2)
#: Releases: XRechnung 1.2 and 2.0 include their rules, 2.3 holds its variables in a pattern of their own.
RELEASES = ("XR_12", "XR_20", "XR_23")
SPACES = {
    "rsm": "urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100",
    "ram": "urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100",
    "udt": "urn:un:unece:uncefact:data:standard:UnqualifiedDataType:100",
}
INVOICE = (
    "<rsm:CrossIndustryInvoice {spaces}><rsm:ExchangedDocumentContext><ram:GuidelineSpecifiedDocumentContextParameter><ram:ID>"
    "urn:cen.eu:en16931:2017#compliant#urn:xoev-de:kosit:standard:xrechnung_2.3</ram:ID>"
    "</ram:GuidelineSpecifiedDocumentContextParameter></rsm:ExchangedDocumentContext>"
    "<rsm:ExchangedDocument><ram:TypeCode>{code}</ram:TypeCode></rsm:ExchangedDocument><rsm:SupplyChainTradeTransaction>"
    "<ram:ApplicableHeaderTradeAgreement>{buyer}<ram:SellerTradeParty><ram:DefinedTradeContact><ram:PersonName>M</ram:PersonName>"
    "</ram:DefinedTradeContact><ram:PostalTradeAddress><ram:CityName>{city}</ram:CityName></ram:PostalTradeAddress>"
    "</ram:SellerTradeParty></ram:ApplicableHeaderTradeAgreement><ram:ApplicableHeaderTradeDelivery/>"
    "<ram:ApplicableHeaderTradeSettlement><ram:SpecifiedTradeSettlementPaymentMeans><ram:TypeCode>58</ram:TypeCode>"
    "<ram:PayeePartyCreditorFinancialAccount><ram:IBANID>DE1</ram:IBANID></ram:PayeePartyCreditorFinancialAccount>"
    "</ram:SpecifiedTradeSettlementPaymentMeans></ram:ApplicableHeaderTradeSettlement></rsm:SupplyChainTradeTransaction>"
    "</rsm:CrossIndustryInvoice>"
)
BUYER = "<ram:BuyerReference>04011000-12345-34</ram:BuyerReference>"


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """The artifact, unpacked; skip where Maven or the artifact cannot be had."""
    folder = tmp_path_factory.mktemp("published")
    copied(ARTIFACT, folder)
    with zipfile.ZipFile(next(folder.glob("*.jar"))) as archive:
        archive.extractall(folder, [name for name in archive.namelist() if "/XR_" in name])
    return folder


def package_of(published: Path, release: str) -> dict[str, bytes]:
    folder = published / "schematron" / release
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def invoices() -> dict[str, str]:
    spaces = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in SPACES.items())
    return {
        f"{code}, {'a' if buyer else 'no'} buyer, {city or 'no city'}": INVOICE.format(
            spaces=spaces, code=code, buyer=buyer, city=city
        )
        for code, buyer, city in (("380", BUYER, "Taunusstein"), ("380", "", ""), ("999", BUYER, ""))
    }


def officially_broken(sheet: Path, text: str) -> list[str]:
    """What the official translation says: the ids of failed assertions in its report (SVRL)."""
    import saxonche

    with saxonche.PySaxonProcessor(license=False) as processor:
        program = processor.new_xslt30_processor().compile_stylesheet(stylesheet_file=str(sheet))
        report = program.transform_to_string(xdm_node=processor.parse_xml(xml_text=text))
    return sorted(re.findall(r'<svrl:(?:failed-assert|successful-report)\b[^>]*?\sid="([^"]+)"', report))


@pytest.mark.parametrize("release", RELEASES)
def test_an_official_package_says_what_its_official_translation_says(published, release):
    package = package_of(published, release)
    names = rule_files(package)
    assert set(names) == set(package)
    rules = BusinessRules({name: package[name] for name in names})
    broken = 0
    for case, text in invoices().items():
        found = rules.check(read_xml(text.encode(), Limits()), Vocabulary.of([]), Limits())
        assert not found.unchecked
        official = officially_broken(published / "xslt" / release / "XRechnung-CII-validation.xslt", text)
        assert sorted(one.rule.removeprefix("schematron.") for one in found.violations) == official, case
        broken += len(official)
    assert broken > 10


def test_an_official_package_with_includes_is_brought_in_unchanged(published, tmp_path):
    package = tmp_path / "package"
    shutil.copytree(published / "schematron" / "XR_20", package)
    (package / "invoice.xsd").write_text(
        f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="{SPACES["rsm"]}"><xs:element '
        'name="CrossIndustryInvoice"><xs:complexType><xs:sequence><xs:any maxOccurs="unbounded" processContents="skip"/>'
        "</xs:sequence></xs:complexType></xs:element></xs:schema>"
    )
    manifest = import_standard(package, tmp_path / "schemas", standard="xrechnung", version="2.0")
    assert [Path(name).name for name in manifest.rules] == [
        "XRechnung-CII-model.part", "XRechnung-CII-validation.sch", "XRechnung-model.part",
    ]  # fmt: skip
    for name in manifest.rules:
        assert (tmp_path / "schemas" / "xrechnung" / "2.0" / name).read_bytes() == (package / name).read_bytes()
    (package / "abstract" / "XRechnung-model.part").unlink()
    with pytest.raises(ConfigurationError, match=r"abstract/XRechnung-model\.part"):
        import_standard(package, tmp_path / "schemas", standard="xrechnung", version="2.0.1")


def test_an_invoice_is_judged_by_its_official_schema_and_its_official_rules_together(published, tmp_path):
    copied("com.helger.cii:ph-cii-d16b:3.0.0", tmp_path)
    package = tmp_path / "package"
    with zipfile.ZipFile(next(tmp_path.glob("*.jar"))) as archive:
        archive.extractall(package, [name for name in archive.namelist() if name.startswith("schemas/")])
    shutil.copy(published / "schematron" / "XR_23" / "XRechnung-CII-validation.sch", package)
    target = tmp_path / "schemas"
    manifest = import_standard(
        package, target, standard="xrechnung", version="2.3", messages="*CrossIndustryInvoice_100*"
    )
    assert [item.roots for item in manifest.schemas] == [(f"{{{SPACES['rsm']}}}CrossIndustryInvoice",)]
    catalog = SchemaCatalog.load(target)
    maker, broken = Maker(catalog.entries()[0].judge.source, random.Random(5)), 0
    sheet = published / "xslt" / "XR_23" / "XRechnung-CII-validation.xslt"
    for _ in range(8):
        text = etree.tostring(maker.message(manifest.schemas[0].roots[0]), encoding="unicode")
        report = catalog.check(media_type=MediaType.XML, data=text.encode(), schema=None, service=None, on=ON)
        found = [violation.rule for violation in report.violations]
        assert [rule for rule in found if rule.startswith("xml.")] == []
        if Check.BUSINESS_RULES in {each.check for each in report.unchecked}:
            # A rule that cannot be applied ends the official translation; here it counts as broken, and the others are run.
            with pytest.raises(Exception, match="Cannot convert"):
                officially_broken(sheet, text)
            continue
        assert sorted(rule.removeprefix("schematron.") for rule in found) == officially_broken(sheet, text)
        broken += len(found)
    assert broken > 10
