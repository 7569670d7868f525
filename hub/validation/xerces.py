"""A second implementation's verdict beside ours: Xerces-J, where a JDK is there and its archives lie where we are told.

Whoever doubts a verdict asks somebody who shares no line of code with libxml2 and us. Nothing is fetched: the archives are
those of releases pinned here, by their hash. A small program beside this file runs in one JVM for all documents of a run; it
gets schemas and documents over its standard input, the schemas as the catalogue pinned them, and opens no
file and no connection. What it says of a document are rules and lines, for its texts repeat values.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Timer
from typing import BinaryIO, Self, cast

from hub.errors import ConfigurationError, Text
from hub.validation.batch import FileVerdict, Judged, Second, content_in, unreadable
from hub.validation.catalog import SchemaCatalog
from hub.validation.editions import SchemaEntry
from hub.validation.json.documents import JsonSchema
from hub.validation.manifest import Kind
from hub.validation.report import MIB
from hub.validation.xml.xsd import REFERENCES, XsdSource, parse_schema_document, resolved

_PROGRAM = Path(__file__).with_name("Xerces.java")
#: Seconds for the JVM to begin, for a schema, and for a document, to each of which come some for each MiB.
_BEGIN, _COMPILE, _JUDGE, _EACH_MIB = 60.0, 120.0, 30.0, 1.0
#: JVMs that may end unasked, or be ended for being late, before nobody is asked any more.
_MOST_LOST = 3
_BOUNDS = ("-Xmx1g", "-Xss8m", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-Dfile.encoding=UTF-8")


@dataclass(frozen=True, kw_only=True, slots=True)
class Archive:
    """One file of Maven's repository: its coordinates (group, artifact, version, classifier) and its SHA-256."""

    group: str
    artifact: str
    version: str
    sha256: str
    classifier: str = ""

    @property
    def coordinates(self) -> str:
        """How ``mvn dependency:copy -Dartifact=`` calls it."""
        return ":".join(
            [self.group, self.artifact, self.version, *(["jar", self.classifier] if self.classifier else [])]
        )

    @property
    def name(self) -> str:
        """Its file name."""
        return f"{self.artifact}-{self.version}{f'-{self.classifier}' if self.classifier else ''}.jar"

    @property
    def below_repository(self) -> Path:
        """Where Maven keeps it in a local repository."""
        return Path(*self.group.split("."), self.artifact, self.version, self.name)


#: What judges by each version of XML Schema. Of 1.0 nothing else is needed: what xml-apis holds, Java brings itself. With 1.1
#: (assertions in XPath 2) Apache publishes Xerces outside Maven's repository; there another group brings it in.
ARCHIVES: Mapping[Kind, tuple[Archive, ...]] = {
    Kind.XSD: (
        Archive(
            group="xerces",
            artifact="xercesImpl",
            version="2.12.2",
            sha256="6fc991829af1708d15aea50c66f0beadcd2cfeb6968e0b2f55c1b0909883fe16",
        ),
    ),
    Kind.XSD11: (
        Archive(
            group="org.exist-db.thirdparty.xerces",
            artifact="xercesImpl",
            version="2.12.2",
            classifier="xml-schema-1.1",
            sha256="368776ba019267ee0b3c78a729441e5f808fee3286ddd6968303d25d18139cde",
        ),
        Archive(
            group="org.exist-db.thirdparty.org.eclipse.wst.xml",
            artifact="xpath2",
            version="1.2.0",
            sha256="fc07fe50b9e0a0bf25772dba606f7d2c22b3f2285fd2a1408bbb33356c521d52",
        ),
        Archive(
            group="edu.princeton.cup",
            artifact="java-cup",
            version="10k",
            sha256="15894fad0a81611e351b5200bbc3bd21359fc6aed53af54a48998390e4b2700d",
        ),
    ),
}
_LANGUAGE = {Kind.XSD: "1.0", Kind.XSD11: "1.1"}


def local_repository() -> Path:
    """Return where Maven keeps what it fetched for this user."""
    return Path.home() / ".m2" / "repository"


def read_archives(kind: Kind, folders: Sequence[Path]) -> dict[str, bytes]:
    """Return the archives for a version of XML Schema by name, from the first folder that has each: flat, or as Maven keeps it.

    Raises:
        ConfigurationError: One is nowhere, or is not the pinned release.
    """
    found: dict[str, bytes] = {}
    for archive in ARCHIVES[kind]:
        places = [folder / below for folder in folders for below in (Path(archive.name), archive.below_repository)]
        place = next((each for each in places if each.is_file()), None)
        if place is None:
            raise _missing(kind, folders)
        content = place.read_bytes()
        if hashlib.sha256(content).hexdigest() != archive.sha256:
            raise _another_release(place, archive)
        found[archive.name] = content
    return found


def _another_release(place: Path, archive: Archive) -> ConfigurationError:
    return ConfigurationError(
        Text(
            f"{place} ist nicht die Ausgabe {archive.coordinates} mit SHA-256 {archive.sha256}. Holen Sie sie neu.",
            f"{place} is not the release {archive.coordinates} with SHA-256 {archive.sha256}. Fetch it anew.",
        ),
        file=str(place),
    )


def _missing(kind: Kind, folders: Sequence[Path]) -> ConfigurationError:
    wanted = ", ".join(archive.coordinates for archive in ARCHIVES[kind])
    names = ", ".join(archive.name for archive in ARCHIVES[kind])
    places = ", ".join(map(str, folders))
    return ConfigurationError(
        Text(
            f"Für XML Schema {_LANGUAGE[kind]} braucht der Vergleich mit Xerces {wanted} (Maven), und der Hub lädt nichts "
            f"herunter. Legen Sie {names} in einen dieser Ordner: {places}; oder nennen Sie Ihren mit --jars.",
            f"For XML Schema {_LANGUAGE[kind]} the comparison with Xerces needs {wanted} (Maven), and the hub downloads "
            f"nothing. Put {names} in one of these folders: {places}; or name yours by --jars.",
        ),
        wanted=wanted,
    )


def find_java() -> str:
    """Return the program that starts Java: of JAVA_HOME, else by the path.

    Raises:
        ConfigurationError: There is none.
    """
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=str(Path(home) / "bin")) if home else None
    java = java or shutil.which("java")
    if java is None:
        raise ConfigurationError(_NO_JDK)
    return java


def _environment() -> dict[str, str]:
    """Return what the JVM finds in its environment: the path alone, for java may be a script that looks for the real one."""
    return {"PATH": os.environ.get("PATH", os.defpath)}


class _LostError(Exception):
    """The JVM ended, or was ended for being late."""


class Xerces:
    """Xerces for one version of XML Schema: one JVM, which begins when it is first asked. Used by one thread; to be closed."""

    def __init__(self, kind: Kind, folders: Sequence[Path]) -> None:
        """Take what is needed.

        Raises:
            ConfigurationError: Java or an archive is missing, or an archive is not the pinned release.
        """
        self._java = find_java()
        self._language = _LANGUAGE[kind]
        archives = read_archives(kind, folders)
        # Copies of what was hashed: nothing else runs, whatever becomes of the files.
        self._folder = tempfile.TemporaryDirectory(prefix="xerces-")
        self._classes = [str(Path(self._folder.name) / name) for name in archives]
        for path, content in zip(self._classes, archives.values(), strict=True):
            Path(path).write_bytes(content)
        self._process: subprocess.Popen[bytes] | None = None
        self._lost = 0
        #: By URI: the number of a schema in this JVM, or why Xerces does not take it.
        self._schemas: dict[str, int | Text] = {}
        self._sent = 0

    def judge(self, uri: str, source: XsdSource, content: bytes) -> Second:
        """Judge a document by a schema; ``uri`` names the schema, which is handed over once."""
        if self._lost >= _MOST_LOST:
            return _unsaid(_GIVEN_UP)
        try:
            self.begin()
            number = self._number(uri, source)
            if isinstance(number, Text):
                return _unsaid(number)
            head = struct.pack(">cIQ", b"D", number, len(content))
            return _second(self._ask(head, content, seconds=_JUDGE + _EACH_MIB * len(content) / MIB))
        except (_LostError, OSError, ConfigurationError):
            self._lost += 1
            self._end()
            return _unsaid(_DIED)

    def close(self) -> None:
        """End the JVM, and leave nothing on the disk."""
        self._end()
        self._folder.cleanup()

    def begin(self) -> None:
        """Start the JVM if none runs.

        Raises:
            ConfigurationError: It does not start: it is none with a compiler, or too old.
        """
        if self._process is not None:
            return
        command = [self._java, *_BOUNDS, "-cp", os.pathsep.join(self._classes), str(_PROGRAM), self._language]
        self._schemas = {uri: known for uri, known in self._schemas.items() if isinstance(known, Text)}
        self._sent = 0
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_environment()
            )
            self._ask(seconds=_BEGIN)
        except (OSError, _LostError) as error:
            self._end()
            raise ConfigurationError(_NO_JDK) from error

    def _number(self, uri: str, source: XsdSource) -> int | Text:
        known = self._schemas.get(uri)
        if known is None:
            said, _, why = self._ask(_schema(source), seconds=_COMPILE).partition("\t")
            known = self._sent if said == "taken" else _not_taken(why)
            self._sent += 1
            self._schemas[uri] = known
        return known

    def _ask(self, *parts: bytes, seconds: float) -> str:
        """Ask, and return the line of the answer; end the JVM where it takes longer."""
        process = cast("subprocess.Popen[bytes]", self._process)
        stdin, stdout = cast("BinaryIO", process.stdin), cast("BinaryIO", process.stdout)
        late = Timer(seconds, process.kill)
        late.start()
        try:
            for part in parts:
                for start in range(0, len(part), MIB):
                    stdin.write(part[start : start + MIB])
            stdin.flush()
            said = stdout.readline()
        finally:
            late.cancel()
        if not said.endswith(b"\n"):
            raise _LostError
        return said[:-1].decode("utf-8", "replace")

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):
                cast("BinaryIO", pipe).close()
        process.wait()


def _schema(source: XsdSource) -> bytes:
    """Return a schema as it is handed over: its documents, its own first, and what each reference among them means."""
    names = [source.file, *(name for name in source.closure if name != source.file)]
    numbers = {name: number for number, name in enumerate(names)}
    documents, references = [], []
    for name in names:
        content = source.read(name)
        documents.append(_counted(content))
        for node in parse_schema_document(content, name).iterchildren(*REFERENCES):
            written = node.get("schemaLocation", "")
            meant = resolved(written, name, numbers.__contains__, source.locations) if written else None
            if meant is None:
                continue
            for location in sorted({written, " ".join(written.split())}):
                place = struct.pack(">I", numbers[name]) + _counted(location.encode())
                references.append(place + struct.pack(">I", numbers[meant]))
    return b"S" + b"".join(struct.pack(">I", len(part)) + b"".join(part) for part in (documents, references))


def _counted(content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + content


_SAID = {"valid": FileVerdict.VALID, "invalid": FileVerdict.INVALID, "unreadable": FileVerdict.REFUSED}


def _second(said: str) -> Second:
    word, *places = said.split("\t")
    if word not in _SAID:
        return _unsaid(_broke_off(" ".join(places)))
    pairs = (place.partition(" ") for place in places)
    return Second(verdict=_SAID[word], rules=tuple((rule, int(line)) for line, _, rule in pairs))


def _unsaid(reason: Text) -> Second:
    return Second(verdict=FileVerdict.NOT_JUDGED, reason=reason)


class Comparison:
    """Puts the verdict of Xerces beside ours. To be used as a context; used by one thread."""

    def __init__(self, catalog: SchemaCatalog, folders: Sequence[Path]) -> None:
        """Take the catalogue by which files are judged, and folders where archives may lie, the first before the others.

        Raises:
            ConfigurationError: Java, or an archive for XML Schema 1.0, is missing or not the release that is wanted.
        """
        self._catalog = catalog
        self._folders = folders
        engine = Xerces(Kind.XSD, folders)
        self._engines: dict[Kind, Xerces | Text] = {Kind.XSD: engine}
        try:
            engine.begin()
        except ConfigurationError:
            engine.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for engine in self._engines.values():
            if isinstance(engine, Xerces):
                engine.close()

    def beside(self, found: Iterable[Judged]) -> Iterator[Judged]:
        """Yield what was judged, each file that an XSD judged with what Xerces says of it."""
        for each in found:
            if each.report is None:
                yield each
                continue
            entry = self._catalog.entry(each.report["schema"]["uri"])
            judge = entry.judge
            yield (
                each if isinstance(judge, JsonSchema) else replace(each, second=self._asked(each, entry, judge.source))
            )

    def _asked(self, each: Judged, entry: SchemaEntry, source: XsdSource) -> Second:
        engine = self._engine(entry.manifest.kind)
        if isinstance(engine, Text):
            return _unsaid(engine)
        try:
            content = content_in(os.fsencode(each.file))
        except OSError as error:
            return _unsaid(unreadable(error))
        return engine.judge(entry.uri, source, content)

    def _engine(self, kind: Kind) -> Xerces | Text:
        if kind not in self._engines:
            try:
                self._engines[kind] = Xerces(kind, self._folders)
            except ConfigurationError as error:
                self._engines[kind] = error.detail
        return self._engines[kind]


def _not_taken(why: str) -> Text:
    return Text(
        f"Xerces nimmt dieses Schema nicht an und sagt deshalb nichts: {why}",
        f"Xerces does not take this schema, and therefore says nothing: {why}",
    )


def _broke_off(why: str) -> Text:
    return Text(f"Xerces brach die Prüfung dieser Datei ab ({why}).", f"Xerces broke off checking this file ({why}).")


_NO_JDK = Text(
    "Der Vergleich mit Xerces braucht ein JDK ab Version 17 (java mit Übersetzer, keine reine Laufzeitumgebung). Installieren "
    "Sie eines, und setzen Sie JAVA_HOME oder PATH darauf.",
    "The comparison with Xerces needs a JDK of version 17 or later (java with its compiler, not a runtime alone). Install one, "
    "and have JAVA_HOME or PATH lead to it.",
)
_DIED = Text(
    "Xerces wurde an dieser Datei beendet, weil es zu lange brauchte oder abbrach.",
    "Xerces was ended at this file, because it took too long or broke off.",
)
_GIVEN_UP = Text(
    "Xerces wurde nicht mehr gefragt, denn es brach mehrmals ab. Prüfen Sie die genannten Dateien einzeln.",
    "Xerces was asked no more, for it broke off several times. Check the files that were named one by one.",
)
