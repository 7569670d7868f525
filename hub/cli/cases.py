"""``hub case``: a sender's cases at a hub, by the client alone: what was sent, what came back, opened with the sender's key.

Works from any machine that reaches the hub; neither a data folder nor anything of the hub itself is loaded.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import click

from hub.errors import Text
from hub.files import vault

if TYPE_CHECKING:
    from hub.client.cases import CaseReply, OwnCase, OwnCases
    from hub.client.contents import Opened
    from hub.client.session import Session
    from hub.crypto import DecryptionKey
    from hub.model import CaseMessageKind

F = TypeVar("F", bound=Callable[..., Any])
#: Bytes of a file that holds a client's secret or a key.
_LARGEST_SECRET, _LARGEST_KEY = 4 * 1024, 64 * 1024


def _sender_options(command: F) -> F:
    """Add who asks at which hub; the command is handed the ``session``."""

    @wraps(command)
    def called(*, hub: str, client_id: str, secret_file: Path, **given: Any) -> Any:
        from hub.client.session import log_in

        secret = vault.read_text(secret_file, most=_LARGEST_SECRET).strip()
        return command(session=log_in(hub, client_id=client_id, client_secret=secret), **given)

    options = (
        click.option("--hub", required=True, envvar="HUB_URL", show_envvar=True, help="The hub's address."),
        click.option("--client-id", required=True, envvar="HUB_CLIENT_ID", show_envvar=True, help="The sender's id."),
        click.option(
            "--secret-file",
            required=True,
            envvar="HUB_CLIENT_SECRET_FILE",
            show_envvar=True,
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="File with the sender's secret.",
        ),
    )
    for option in reversed(options):
        called = option(called)
    return called  # type: ignore[return-value]  # the same command with three options more


@click.group()
def case() -> None:
    """Eigene Vorgänge und Antworten / a sender's cases and replies."""


@case.command()
@click.argument("case_id", type=click.UUID)
@_sender_options
def show(session: Session, case_id: UUID) -> None:
    """Show what was sent in a case and what came back."""
    found = _cases(session).show(case_id)
    click.echo(f"an / to  {found.destination_id}")
    for sent in found.submissions:
        kind = sent.kind or "application"
        click.echo(f"→ {sent.submission_id}  {sent.submitted_at:%Y-%m-%d %H:%M}  {sent.state.value:<9}  {kind}")
    _print_replies(found.replies)
    _print_deadlines(session, found)
    steps = _cases(session).ai_steps(case_id)
    for each in steps:
        step = each.step
        said = f"{step.system} {step.version}: {step.purpose} ({step.output.value}, {step.decided.value})"
        click.echo(f"KI / AI  {each.at:%Y-%m-%d %H:%M}  {said}")
    if not steps:
        click.echo("kein KI-Schritt aufgezeichnet / no AI step recorded")


def _print_deadlines(session: Session, found: OwnCase) -> None:
    """Say by when what has to happen, as the hub counts it from the receipt of what opened the case."""
    from hub.client.plain import PlainDoor

    if not found.submissions:
        return
    for each in PlainDoor(session).progress(found.submissions[0].submission_id).deadlines:
        title, law = each["title"], ", ".join(each.get("law", ()))
        said = f"{title['de']} / {title['en']}" + (f" ({law})" if law else "")
        click.echo(f"Frist / deadline  {each['lastDay']}  {said}")


@case.command()
@click.argument("case_id", type=click.UUID)
@_sender_options
def replies(session: Session, case_id: UUID) -> None:
    """List the replies in a case, oldest first."""
    _print_replies(_cases(session).replies(case_id))


@case.command()
@click.argument("case_id", type=click.UUID)
@click.argument("reply_id", type=click.UUID)
@click.option(
    "--key",
    "key_file",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The private key whose public half the application named (JWK, PEM or PKCS#12).",
)
@click.option(
    "--into", type=click.Path(file_okay=False, path_type=Path), help="Write metadata, data and attachments here."
)
@click.option("--accept", is_flag=True, help="Say that the reply is taken, once it is opened.")
@_sender_options
def reply(session: Session, case_id: UUID, reply_id: UUID, key_file: Path, into: Path | None, *, accept: bool) -> None:
    """Fetch a reply, verify it against the case's signed log, and open it with the sender's own key."""
    key, cases = _key(key_file), _cases(session)
    with cases.collect(case_id, reply_id) as collected:
        opened = collected.open([key])
        if into is not None:
            _write(opened, into)
        elif opened.data is not None:
            click.echo(opened.data.decode("utf-8", "replace"))
        for each in opened.attachments:
            click.echo(f"{each.attachment_id}  {each.media_type}  {each.filename or '-'}", err=True)
    if accept:
        cases.acknowledge(case_id, reply_id)


_ATTACHMENTS = click.option(
    "--attachment", "attachments", multiple=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)


@case.command()
@click.argument("case_id", type=click.UUID)
@click.argument("reply_id", type=click.UUID)
@click.option("--text", required=True, help="The answer.")
@_ATTACHMENTS
@_sender_options
def answer(session: Session, case_id: UUID, reply_id: UUID, text: str, attachments: tuple[Path, ...]) -> None:
    """Answer a reply, with files if there are any; it goes sealed to the authority that has the case."""
    from hub.model import CaseMessageKind

    _say(session, case_id, CaseMessageKind.ANSWER, reply_id, text, attachments)


@case.command()
@click.argument("case_id", type=click.UUID)
@click.argument("submission_id", type=click.UUID)
@click.option("--text", default="", help="What you say to it.")
@_sender_options
def withdraw(session: Session, case_id: UUID, submission_id: UUID, text: str) -> None:
    """Take an application back, where its service allows that; the authority decides what becomes of it."""
    from hub.model import CaseMessageKind

    _say(session, case_id, CaseMessageKind.WITHDRAWAL, submission_id, text, ())


def _say(  # what a message is, in its order
    session: Session, case_id: UUID, kind: CaseMessageKind, about: UUID, text: str, attachments: tuple[Path, ...]
) -> None:
    """Send a message for the service and the area that the case was opened for."""
    from hub.client.contents import Attachment
    from hub.client.plain import Application, PlainDoor
    from hub.client.uploads import UploadSender
    from hub.model import CaseMessage

    first = _cases(session).show(case_id).submissions[0]
    message = Application.in_case(
        CaseMessage(kind=kind, about=about, text=text),
        case_id,
        service=first.service,
        ars=first.ars,
        attachments=UploadSender(session).send_large([Attachment.of_file(path) for path in attachments]),
    )
    receipt = PlainDoor(session).submit(message)
    click.echo(f"submissionId  {receipt.submission_id}")
    click.echo(f"an / to       {receipt.destination} ({receipt.destination_id})")


def _cases(session: Session) -> OwnCases:
    from hub.client.cases import OwnCases

    return OwnCases(session)


def _print_replies(found: Iterable[CaseReply]) -> None:
    for each in found:
        gone = "" if each.readable else "  (nicht mehr zu lesen / gone)"
        click.echo(f"← {each.reply_id}  {each.submitted_at:%Y-%m-%d %H:%M}  {each.state.value:<9}{gone}")


def _key(file: Path) -> DecryptionKey:
    from hub.crypto import read_decryption_key
    from hub.crypto.key_file import read_private

    return read_decryption_key(read_private(vault.read(file, most=_LARGEST_KEY), use="encryption"))


def _write(opened: Opened, folder: Path) -> None:
    """Write a reply for its owner's eyes alone, under safe names; what stands there already stays."""
    import orjson

    from hub.web.filenames import safe_name, unique_names

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    wishes = [safe_name(each.filename, str(each.attachment_id)) for each in opened.attachments]
    data = [] if opened.data is None else [(_data_name(opened), [opened.data])]
    parts = [("metadata.json", [orjson.dumps(opened.metadata)]), *data]
    names = list(unique_names([*(name for name, _ in parts), *wishes]))
    contents: list[Iterable[bytes]] = [chunks for _, chunks in parts]
    contents += [each.chunks() for each in opened.attachments]
    for name, chunks in zip(names, contents, strict=True):
        try:
            descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as exc:
            taken = Text(f"{folder / name} gibt es schon.", f"{folder / name} exists already.")
            raise click.UsageError(f"{taken.de} / {taken.en}") from exc
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(chunks)


def _data_name(opened: Opened) -> str:
    described = opened.metadata["contentStructure"]["data"]["submissionSchema"]
    return "data.xml" if described.get("mimeType") == "application/xml" else "data.json"


COMMANDS = (case,)
