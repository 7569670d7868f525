"""Logging in by an OpenID Connect provider: authorization code with PKCE, state and nonce (OpenID Connect Core 1.0).

``provider`` speaks with it, ``id_token`` judges what it says, ``grants`` says what that is worth here, ``people`` keeps the
accounts of its people, ``login`` is the walk from the button to the session.
"""

from hub.openid.grants import Grant, Grants
from hub.openid.login import COOKIE_LIFE, Arrival, Departure, OpenIdLogin
from hub.openid.people import link
from hub.openid.provider import Provider, Registration

__all__ = [
    "COOKIE_LIFE",
    "Arrival",
    "Departure",
    "Grant",
    "Grants",
    "OpenIdLogin",
    "Provider",
    "Registration",
    "link",
]
