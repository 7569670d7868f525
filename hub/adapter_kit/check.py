"""Running an adapter through the table: one bench for each sentence, and complaints instead of exceptions.

How an adapter is configured on a bench: a small YAML file, which the adapter's author writes.

::

    family: http             # none, file, http, fit_connect, xta, as4, smtp, sftp, s3
    options:                 # the adapter's own; {…} stands for what the bench puts in
      url: "{url}/in"
      ca_file: "{ca_file}"
      timeout: 10
    hasty:                   # options for benches that never answer: seconds, at most 3
      timeout: 1

It lies beside the adapter's module as ``trials/<name>.yaml``, or is named to ``hub adapters check``.

The bench of the family ``sftp``: asyncssh's server on a folder, with the troubles of disks, keys and logins.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module, resources
from pathlib import Path
from typing import Any

import asyncssh
import yaml

from hub.adapter_kit.cases import (
    CASES,
    HOST,
    MARKER,
    SAID,
    SECRET,
    STALLING,
    Bench,
    Family,
    Places,
    TrialCase,
    Trouble,
    Workshop,
    sentences,
    whole_places,
)
from hub.adapter_kit.files import files_below
from hub.adapter_kit.http import MODES, FaultyGate, GateMode
from hub.adapter_kit.packages import again, make_package
from hub.errors import ConfigurationError, Text
from hub.files.strict_yaml import load_yaml
from hub.model import Adapter, Form, Outcome, Package, sealing_of
from hub.model.adapter import OptionRole, declared

_PLACE = re.compile(r"\{([a-z_]+)\}")
_LIMIT = 64 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """An adapter's family and options; ``hasty`` are options over them for benches that stall."""

    family: Family
    options: Mapping[str, Any]
    hasty: Mapping[str, Any] = field(default_factory=dict)

    def filled(self, places: Places, *, hasty: bool = False) -> dict[str, Any]:
        """Return the options with the bench's places put in.

        Raises:
            ConfigurationError: the bench of this family has no such place.
        """
        options = {**self.options, **(self.hasty if hasty else {})}
        return {name: _fill(value, places) for name, value in options.items()}


def read_trial(text: str) -> Trial:
    """Read a trial.

    Raises:
        ConfigurationError: it is no YAML mapping of ``family``, ``options`` and ``hasty``.
    """
    try:
        document = load_yaml(text)
        family = Family(document.pop("family"))
        options, hasty = document.pop("options", {}), document.pop("hasty", {})
        fits = not document and all(isinstance(name, str) for name in [*options.keys(), *hasty.keys()])
    except (yaml.YAMLError, ValueError, KeyError, AttributeError, TypeError) as exc:
        raise _no_trial() from exc
    if not fits:
        raise _no_trial()
    return Trial(family=family, options=options, hasty=hasty)


def _no_trial() -> ConfigurationError:
    families = ", ".join(Family)
    return ConfigurationError(
        Text(
            f"Die Erprobung eines Adapters ist YAML mit family ({families}), options und hasty.",
            f"An adapter's trial is YAML with family ({families}), options and hasty.",
        )
    )


def find_trial(name: str, adapter: type[Adapter], file: Path | None) -> Trial:
    """Return the trial in ``file``, or the one that lies beside the adapter's module.

    Raises:
        ConfigurationError: there is none, or it cannot be read.
    """
    try:
        if file is not None:
            return read_trial(file.read_text("utf-8")[:_LIMIT])
        package = adapter.__module__.rpartition(".")[0] or adapter.__module__
        return read_trial(resources.files(package).joinpath("trials", f"{name}.yaml").read_text("utf-8")[:_LIMIT])
    except (OSError, ModuleNotFoundError, TypeError, UnicodeDecodeError) as exc:
        raise ConfigurationError(
            Text(
                f"Für den Adapter {name} fehlt die Erprobung. Legen Sie trials/{name}.yaml neben sein Modul, oder "
                "nennen Sie eine Datei mit --config.",
                f"The trial of the adapter {name} is missing. Put trials/{name}.yaml beside its module, or name a file "
                "with --config.",
            )
        ) from exc


def _fill(value: Any, places: Places) -> Any:
    if not isinstance(value, str):
        return value
    unknown = set(_PLACE.findall(value)) - set(places)
    if unknown:
        names, known = ", ".join(sorted(unknown)), ", ".join(sorted(places))
        raise ConfigurationError(
            Text(
                f"Auf diesem Prüfstand gibt es nicht: {names}. Es gibt: {known}.",
                f"This bench does not have: {names}. It has: {known}.",
            )
        )
    alone = _PLACE.fullmatch(value)
    return places[alone.group(1)] if alone else _PLACE.sub(lambda found: str(places[found.group(1)]), value)


#: The one sentence that needs no receiving system.
STRICT = "an option that nobody knows stops the start"
#: Seconds: how long an attempt may take, and a hasty one against a bench that stalls.
_PATIENCE, _HASTE = 40.0, 8.0
#: Beginnings of what benches put into options that say where a receiver is, and what a secret lies in.
_PLACES = ("url", "token_url", "submission_api", "endpoint", "host", "port", "ca_file", "secret", "key", "password")
#: By module and name, so that a bench's libraries are needed only for its own family.
_BENCHES = {
    Family.FILE: ("hub.adapter_kit.files", "FileBench"),
    Family.HTTP: ("hub.adapter_kit.http", "HttpBench"),
    Family.FIT_CONNECT: ("hub.adapter_kit.http", "FitBench"),
    Family.XTA: ("hub.adapter_kit.xta", "XtaBench"),
    Family.AS4: ("hub.adapter_kit.as4", "As4Bench"),
    Family.SMTP: ("hub.adapter_kit.mail", "PostBench"),
    Family.SFTP: ("hub.adapter_kit.check", "ShellBench"),
    Family.S3: ("hub.adapter_kit.files", "DropBench"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What came of one sentence; without complaints it holds."""

    sentence: str
    complaints: list[str] = field(default_factory=list)


def check(adapter: type[Adapter], trial: Trial, workshop: Workshop, *, only: str = "") -> Iterator[Result]:
    """Run every sentence of the adapter's family that holds ``only``, one after the other."""
    for sentence in [STRICT, *sentences(trial.family)]:
        if only in sentence:
            yield Result(sentence=sentence, complaints=check_one(sentence, adapter, trial, workshop))


def check_one(sentence: str, adapter: type[Adapter], trial: Trial, workshop: Workshop) -> list[str]:
    """Run one sentence; return what is wrong.

    Raises:
        ConfigurationError: the trial names places that the bench does not have.
    """
    bench = bench_of(trial.family, workshop)
    try:
        if sentence == STRICT:
            return _strictness(adapter, trial, bench.arrange(Trouble.NONE, make_package()))
        return _Run(CASES[sentence], adapter, trial, bench).complaints()
    finally:
        bench.close()


def bench_of(family: Family, workshop: Workshop) -> Bench:
    """Build the bench of a family."""
    if family is Family.NONE:
        return _NoBench(workshop)
    module, name = _BENCHES[family]
    kind: Callable[[Workshop], Bench] = getattr(import_module(module), name)
    return kind(workshop)


class _Run:
    """One case on one bench."""

    def __init__(self, case: TrialCase, adapter: type[Adapter], trial: Trial, bench: Bench) -> None:
        self._case = case
        self._adapter = adapter
        self._trial = trial
        self._bench = bench
        self._wrong: list[str] = []

    def complaints(self) -> list[str]:
        """Deliver, and compare what came of it with the case."""
        case = self._case
        form = _form(self._adapter, self._trial, self._bench)
        packages = [case.change(make_package(form=form)) for _ in range(1 if case.same else case.at_once)]
        packages *= case.at_once if case.same else 1
        hasty = case.trouble in STALLING
        places = self._bench.arrange(case.first or case.trouble, packages[0])
        instance = self._adapter(self._trial.filled(places, hasty=hasty))
        try:
            instance.open()
            self._bench.strike(case.first or case.trouble, packages[0])
            packages = self._first(instance, packages)
            started = time.monotonic()
            outcomes = self._deliver(instance, packages)
            if hasty and time.monotonic() - started > _HASTE:
                self._wrong.append(f"takes longer than {_HASTE:.0f} s, whatever its timeout says")
        finally:
            instance.close()
        self._compare(packages, outcomes)
        return self._wrong

    def _first(self, instance: Adapter, packages: list[Package]) -> list[Package]:
        case = self._case
        if case.first is not None:
            self._deliver(instance, packages)
            self._bench.arrange(case.trouble, packages[0])
            self._bench.strike(case.trouble, packages[0])
            packages = [again(package) for package in packages]
        return packages

    def _compare(self, packages: list[Package], outcomes: list[Outcome | None]) -> None:
        for package, outcome in zip(packages, outcomes, strict=True):
            if outcome is not None:
                self._wrong += self._case.complaints(outcome, package)
            copies = self._bench.copies(package)
            if self._case.copies is not None and copies != self._case.copies:
                self._wrong.append(f"the receiver holds {copies} whole copies, not {self._case.copies}")
        strangers = self._bench.strangers(list({package.delivery_id: package for package in packages}.values()))
        if strangers:
            self._wrong.append(f"the receiver holds {strangers} things that cannot be told by their delivery id")

    def _deliver(self, instance: Adapter, packages: list[Package]) -> list[Outcome | None]:
        """Deliver all at once, each in a thread that may be left behind; None where no outcome came."""
        outcomes: list[Outcome | None] = [None] * len(packages)
        raised: list[str] = []

        def attempt(number: int) -> None:
            try:
                outcomes[number] = instance.deliver(packages[number])
            # Whatever a stranger's adapter raises is what this looks for.
            except Exception as error:  # noqa: BLE001
                raised.append(f"deliver raises {type(error).__name__} instead of reporting an outcome")

        threads = [threading.Thread(target=attempt, args=[number], daemon=True) for number in range(len(packages))]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + _PATIENCE
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if any(thread.is_alive() for thread in threads):
            raised.append(f"deliver does not come back within {_PATIENCE:.0f} s")
        self._wrong += raised
        return outcomes


def _form(adapter: type[Adapter], trial: Trial, bench: Bench) -> Form:
    """Return how the plain door seals for this adapter; one without wishes is not asked."""
    if not hasattr(adapter, "sealing"):
        return Form.JOSE
    return sealing_of(adapter, trial.filled(bench.arrange(Trouble.NONE, make_package()))).form


def _strictness(adapter: type[Adapter], trial: Trial, places: Places) -> list[str]:
    good = trial.filled(places)
    try:
        adapter(good)
    except ConfigurationError as error:
        return [f"refuses its own trial: {error}"]
    wrong = _undeclared(adapter, trial)
    try:
        adapter({**good, "surprise": 1})
    except ConfigurationError as error:
        return wrong if "surprise" in str(error) else [*wrong, "the refusal does not name the option"]
    return [*wrong, "takes an option that it cannot know"]


def _undeclared(adapter: type[Adapter], trial: Trial) -> list[str]:
    """Say which options name a place of the bench, or a secret, and yet are declared to do neither."""
    kind = getattr(adapter, "options", None)
    roles = {} if kind is None else {option.name: option.role for option in declared(kind)}
    return [
        f"the option {name} says where it delivers, or names a secret, and is declared as plain"
        for name, value in trial.options.items()
        if roles.get(name) is OptionRole.PLAIN and any(f"{{{place}" in str(value) for place in _PLACES)
    ]


class _NoBench:
    """Nobody there: the receiver collects."""

    def __init__(self, workshop: Workshop) -> None: ...

    def arrange(self, trouble: Trouble, package: Package) -> Places:  # noqa: ARG002
        return {}

    def strike(self, trouble: Trouble, package: Package) -> None: ...

    def copies(self, package: Package) -> int:  # noqa: ARG002
        return 0

    def strangers(self, packages: list[Package]) -> int:  # noqa: ARG002
        return 0

    def close(self) -> None: ...


_LONGEST_TRIAL = 20.0


class ShellBench:
    """One SFTP server behind a gate; deliveries go below ``/in``."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._root = workshop.scratch()
        (self._root / "in").mkdir()
        self._key = asyncssh.generate_private_key("ssh-ed25519")
        self._server = _ServerThread(self._root, self._key.convert_to_public())
        self._gate = FaultyGate(self._server.port)

    def arrange(self, trouble: Trouble, package: Package) -> Places:
        """Bring the server into a trouble."""
        self._server.trouble = trouble
        self._gate.mode = MODES.get(trouble, GateMode.PASS)
        match trouble:
            case Trouble.GONE:
                self._gate.close()
            case Trouble.WRONG_PATH:
                (self._root / "in").rmdir()
            case Trouble.CUT_MID_WRITE | Trouble.NO_OVERWRITE:
                self._leave_half(package)
        host_key = asyncssh.generate_private_key("ssh-ed25519") if trouble is Trouble.WRONG_HOST_KEY else None
        key_file = self._workshop.written("key", self._key.export_private_key().decode())
        return {
            "host": "receiver.invalid" if trouble is Trouble.NO_SUCH_NAME else HOST,
            "port": self._gate.port,
            "user": "hub",
            "host_key": (host_key or self._server.host_key).export_public_key().decode().strip(),
            "key_file": str(key_file),
            "password_file": str(self._workshop.secret_file),
        }

    def strike(self, trouble: Trouble, package: Package) -> None:
        """Do nothing more: everything is arranged."""

    def copies(self, package: Package) -> int:
        """Count the whole places."""
        return len(whole_places(files_below(self._root), package))

    def strangers(self, packages: list[Package]) -> int:
        """Count the places whose marker stands for nothing whole."""
        complete = sum(path.endswith(f"/{MARKER}") for path in files_below(self._root))
        return complete - sum(self.copies(package) for package in packages)

    def close(self) -> None:
        """Stop everything."""
        self._gate.close()
        self._server.close()
        shutil.rmtree(self._root, ignore_errors=True)

    def _leave_half(self, package: Package) -> None:
        place = self._root / "in" / str(package.delivery_id)
        place.mkdir()
        (place / "data.jwe").write_bytes(b"half")
        (place / f".{MARKER}.0.part").write_bytes(b"{")


class _ServerThread:
    """Runs the server's event loop."""

    def __init__(self, root: Path, login: asyncssh.SSHKey) -> None:
        self.root = root
        self.login = login
        self.trouble = Trouble.NONE
        self.connections: set[asyncssh.SSHServerConnection] = set()
        self.host_key = asyncssh.generate_private_key("ssh-ed25519")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._acceptor = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(_LONGEST_TRIAL)
        self.port: int = self._acceptor.get_port()

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(_LONGEST_TRIAL)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            HOST,
            0,
            server_factory=lambda: _Server(self),
            server_host_keys=[self.host_key],
            sftp_factory=lambda channel: _Files(channel, self),
            allow_scp=False,
        )

    async def _stop(self) -> None:
        self._acceptor.close()
        # A client that has not hung up yet: its connection would outlive the loop.
        for connection in self.connections.copy():
            connection.abort()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0)  # The loop tells of a broken connection in its next turn.


class _Server(asyncssh.SSHServer):
    """Lets ``hub`` in, by its key or the bench's password."""

    def __init__(self, thread: _ServerThread) -> None:
        self._thread = thread

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._thread.connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncssh's own hook
        self._thread.connections.discard(self._connection)

    def begin_auth(self, username: str) -> bool:  # noqa: ARG002  # asyncssh's own hook
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        good = self._thread.trouble is not Trouble.BAD_CREDENTIALS and username == "hub"
        return good and key.public_data == self._thread.login.public_data

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return self._thread.trouble is not Trouble.BAD_CREDENTIALS and (username, password) == ("hub", SECRET)


class _Files(asyncssh.SFTPServer):
    """Files below the root; a trouble meets writing, or the rename that completes a delivery."""

    def __init__(self, channel: asyncssh.SSHServerChannel[bytes], thread: _ServerThread) -> None:
        super().__init__(channel, chroot=str(thread.root).encode())
        self._thread = thread

    def mkdir(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> Any:
        if self._thread.trouble is Trouble.FORBIDDEN:
            raise asyncssh.SFTPPermissionDenied("no")
        return super().mkdir(path, attrs)

    def write(self, file_obj: object, offset: int, data: bytes) -> Any:
        if self._thread.trouble is Trouble.NO_SPACE:
            raise asyncssh.SFTPNoSpaceOnFilesystem("full")
        if self._thread.trouble is Trouble.BROKEN:
            raise asyncssh.SFTPFailure(SAID)
        return super().write(file_obj, offset, data)

    def fsync(self, file_obj: object) -> Any:
        if self._thread.trouble is Trouble.NO_FSYNC:
            raise asyncssh.SFTPFailure(SAID)
        return super().fsync(file_obj)

    async def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        # As Win32-OpenSSH: the extension is offered, and refuses a name that is taken like plain renaming.
        if self._thread.trouble is Trouble.NO_OVERWRITE and self._is_taken(newpath):
            raise asyncssh.SFTPFailure(SAID)
        super().posix_rename(oldpath, newpath)
        await self._after(newpath)

    async def rename(self, oldpath: bytes, newpath: bytes) -> None:
        super().rename(oldpath, newpath)
        await self._after(newpath)

    def _is_taken(self, path: bytes) -> bool:
        return Path(self.map_path(path).decode()).exists()

    async def _after(self, path: bytes) -> None:
        if path.rpartition(b"/")[2] != MARKER.encode():
            return
        match self._thread.trouble:
            case Trouble.HANG:
                await asyncio.sleep(_LONGEST_TRIAL)
            case Trouble.RESET_LATE:
                self.connection.abort()
