"""The pages for people who administer the hub, under ``/admin``: server-rendered, in German and English.

``build(tools)`` is the ASGI application; ``Mounted(pages, app)`` puts it in front of the interfaces.
"""

from hub.admin.application import Mounted, build
from hub.admin.request import Tools

#: Where the OpenID Connect provider sends people back to, below the hub's address.
__all__ = ["Mounted", "Tools", "build"]
