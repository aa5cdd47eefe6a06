"""The web page (tools/web.py): a picture and names in, an overlay to point at out.

``Service`` answers requests within ``Limits``, ``view`` puts a result into what the browser gets, and ``serve`` runs
the page until the process is told to end. gradio is needed for ``serve`` alone, and imported there.
"""

from .auth import Auth
from .server import serve
from .service import Limits, Service

__all__ = ["Auth", "Limits", "Service", "serve"]
