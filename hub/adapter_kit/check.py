"""Running an adapter through the table: one bench for each sentence, and complaints instead of exceptions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module

from hub.adapter_kit.cases import CASES, STALLING, Case, Family, Trouble, sentences
from hub.adapter_kit.samples import again, make_package
from hub.adapter_kit.trial import Trial
from hub.adapter_kit.workshop import Bench, Places, Workshop
from hub.errors import ConfigurationError
from hub.model.delivery import Adapter, sealing_of
from hub.model.options import Role, declared
from hub.model.submission import Form, Outcome, Package

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
    Family.FIT_CONNECT: ("hub.adapter_kit.fit", "FitBench"),
    Family.SMTP: ("hub.adapter_kit.mail", "PostBench"),
    Family.SFTP: ("hub.adapter_kit.shell", "ShellBench"),
    Family.S3: ("hub.adapter_kit.drop", "DropBench"),
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

    def __init__(self, case: Case, adapter: type[Adapter], trial: Trial, bench: Bench) -> None:
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
            if case.first is not None:
                self._deliver(instance, packages)
                self._bench.arrange(case.trouble, packages[0])
                self._bench.strike(case.trouble, packages[0])
                packages = [again(package) for package in packages]
            started = time.monotonic()
            outcomes = self._deliver(instance, packages)
            if hasty and time.monotonic() - started > _HASTE:
                self._wrong.append(f"takes longer than {_HASTE:.0f} s, whatever its timeout says")
        finally:
            instance.close()
        self._compare(packages, outcomes)
        return self._wrong

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
        if roles.get(name) is Role.PLAIN and any(f"{{{place}" in str(value) for place in _PLACES)
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
