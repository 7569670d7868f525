"""How a portal is put together of its settings: what it opens, and what is closed again at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import anyio

from hub.client.session import Session, Tokens
from hub.client.transport import Direct, Patience, Retrying
from hub.errors import ConfigurationError, Text
from hub.files import vault
from hub.observability.diagnosis import Diagnosis, bounded, doubtful, well
from hub.openid.provider import AuthorizationRequest, Provider, Registration
from hub.portal.codes import expiring
from hub.portal.database import PortalDatabase
from hub.portal.doors import Doors
from hub.portal.drawing import PageTemplates
from hub.portal.frame import Portal
from hub.portal.login import RETURN, LoginWay, ProvidersLine
from hub.portal.login_settings import PortalLogin
from hub.portal.notices import mailing, notices_of
from hub.portal.reply_keys import ReplyKeys
from hub.portal.schemas import FormSchemas
from hub.portal.session import Sessions
from hub.portal.settings import PortalSettings
from hub.portal.storage import FormStorage, StorageLimits
from hub.portal.texts import shipped_texts
from hub.portal.visits import StoredShares
from hub.resources import shipped
from hub.supervision import Loop, Supervisor

_LONGEST_SECRET = 4096  # Bytes
#: Seconds to reach the hub, and between two pieces of its answer: a person waits.
_TIMES = (3.0, 20.0)
#: A person waits, and what is sent may be sent again by hand.
_PATIENCE = Patience(repeats=1, first=timedelta(milliseconds=200), longest=timedelta(seconds=1))
#: Pages that compute or wait at once: some more than cores, for most of them wait for the hub.
_WORKING = 16


@contextmanager
def opened(settings: PortalSettings, *, clock: Callable[[], datetime]) -> Iterator[Portal]:
    """Open what a portal works with, and close it at the end.

    Raises:
        ConfigurationError: a secret or the folder is open to others, or cannot be read. Unavailable: the database is away.
    """
    secret = _secret("hub.client_secret_file", settings.hub.client_secret_file)
    vault.make_folder(settings.storage.folder)
    hub = settings.hub
    with ExitStack() as stack:
        storage = FormStorage(
            stack.enter_context(closing(PortalDatabase(_database(settings)))), limits=_limits(settings)
        )
        transport = Retrying(
            stack.enter_context(Direct(ca_file=hub.ca_file, timeout=_TIMES, user_agent="rathaus-hub-portal")),
            patience=_PATIENCE,
        )
        tokens = Tokens(f"{hub.base_url}/token", client_id=hub.client_id, client_secret=secret, clock=clock)
        public = Session(hub.base_url, transport=transport)
        doors = Doors(
            public=public,
            session=Session(hub.base_url, transport=transport, tokens=tokens),
            schemas=FormSchemas(
                shipped("schemas"), *settings.schema_roots, hub=public, folder=settings.storage.folder / "schemas"
            ),
            clock=clock,
        )
        login = _login(settings, storage, stack)
        keys = ReplyKeys()
        keys.start()
        stack.callback(keys.close)
        texts = shipped_texts()
        portal = Portal(
            settings=settings,
            doors=doors,
            sessions=Sessions(
                storage, secure=settings.secure, idle=settings.limits.idle, unanswered=settings.limits.unanswered
            ),
            storage=storage,
            texts=texts,
            pages=PageTemplates(texts),
            clock=clock,
            working=anyio.CapacityLimiter(_WORKING),
            keys=keys,
            login=login,
            shares=StoredShares(
                storage.database, settings.limits.stored_per_address, all_of_it=settings.limits.stored_bytes
            ),
        )
        for loop in _loops(portal):
            stack.callback(loop.end)
        yield portal


@contextmanager
def opened_database(settings: PortalSettings) -> Iterator[PortalDatabase]:
    """Open the portal's database alone, beside the portal that serves; errors as :func:`opened`."""
    vault.make_folder(settings.storage.folder)
    with closing(PortalDatabase(_database(settings))) as database:
        yield database


def _login(settings: PortalSettings, storage: FormStorage, stack: ExitStack) -> LoginWay | None:
    if settings.login is None:
        return None
    secret = _secret("login.client_secret_file", settings.login.client_secret_file)
    line = Direct(ca_file=settings.login.ca_file, timeout=_TIMES, user_agent="rathaus-hub-portal")
    scheme = "https" if settings.secure else "http"
    return LoginWay(
        settings.login,
        secret,
        origins={host: f"{scheme}://{host}" for host in settings.looks},
        storage=storage,
        transport=stack.enter_context(line),
    )


def _loops(portal: Portal) -> Iterator[Loop]:
    """Begin what runs for as long as the portal is open."""
    supervisor = Supervisor()
    yield supervisor.begin("portal-expiry", expiring(portal.storage, portal.clock))
    notices = notices_of(portal)
    if notices is not None:
        yield supervisor.begin("portal-mails", mailing(notices, portal.clock))


def _database(settings: PortalSettings) -> str:
    """Return the address of the database, with its password."""
    place = settings.storage
    if not place.url:
        return f"sqlite:///{place.folder / 'portal.sqlite'}"
    if place.password_file is None:
        return place.url
    user, _, rest = place.url.removeprefix("postgresql://").partition("@")
    return f"postgresql://{user}:{quote(_secret('storage.password_file', place.password_file), safe='')}@{rest}"


def _limits(settings: PortalSettings) -> StorageLimits:
    limits = settings.limits
    return StorageLimits(
        forms=limits.forms,
        size=limits.stored_bytes,
        attachments=limits.attachments,
        attached_size=limits.form_bytes,
        running=limits.idle,
        unanswered=limits.unanswered,
        saved=limits.saved,
    )


def _secret(name: str, path: Path) -> str:
    """Return the secret in a file that the setting ``name`` names."""
    try:
        return vault.read_text(path, most=_LONGEST_SECRET)
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigurationError(
            Text(
                f"{name}: Die Datei {path} ist nicht lesbar. Prüfen Sie, ob es sie gibt und wem sie gehört.",
                f"{name}: the file {path} cannot be read. Check that it exists, and whose it is.",
            ),
            setting=name,
        ) from exc


#: Seconds for a check.
_LIMIT = 10.0


def examine(settings: PortalSettings, *, clock: Callable[[], datetime]) -> Iterator[Diagnosis]:
    """Yield what is found when everything is tried that a portal with these settings needs."""
    yield well("settings", "lesbar und vollständig", "readable and complete")
    for name, path in next(iter(settings.looks.values())).pages.items():
        if path is None:
            yield doubtful(
                "pages",
                Text(
                    f"pages.{name} fehlt; die Seite sagt nur, dass sie fehlt",
                    f"pages.{name} is missing; its page says so",
                ),
                Text("eine Textdatei nennen", "name a text file"),
            )
    yield from bounded("hub", lambda: _hub(settings, clock), seconds=_LIMIT)
    if settings.login is not None:
        login = settings.login
        yield from bounded("login", lambda: _provider(login, settings.public_url, clock), seconds=_LIMIT)


def _hub(settings: PortalSettings, clock: Callable[[], datetime]) -> Iterator[Diagnosis]:
    secret = _secret("hub.client_secret_file", settings.hub.client_secret_file)
    hub = settings.hub
    transport = Direct(ca_file=hub.ca_file, timeout=_TIMES)
    found = Session(hub.base_url, transport=transport).json("GET", "/hub/v1/services", query={"limit": "1"})
    total = found.get("total", 0)
    yield well("hub", f"{hub.base_url} antwortet, {total} Leistungen", f"{hub.base_url} answers, {total} services")
    Tokens(f"{hub.base_url}/token", client_id=hub.client_id, client_secret=secret, clock=clock).get(transport)
    yield well("hub", f"{hub.client_id} bekommt ein Token", f"{hub.client_id} gets a token")


def _provider(login: PortalLogin, origin: str, clock: Callable[[], datetime]) -> Iterator[Diagnosis]:
    registration = Registration(
        issuer=login.issuer,
        client_id=login.client_id,
        secret=_secret("login.client_secret_file", login.client_secret_file),
        redirect_uri=f"{origin}{RETURN}",
    )
    line = ProvidersLine(Direct(ca_file=login.ca_file, timeout=_TIMES))
    Provider(registration=registration, outbound=line).address(AuthorizationRequest.new(), now=clock())
    yield well(
        "login",
        f"{login.issuer} antwortet und kann, was nötig ist",
        f"{login.issuer} answers, and can do what it takes",
    )
