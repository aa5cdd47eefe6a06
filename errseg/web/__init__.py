"""The web page: a visitor uploads a picture and types names; the page shows an interactive overlay.

``Service`` answers requests within ``Limits``. ``view`` converts a result to the data for the browser. ``serve`` runs
the page until the process is told to end. Only ``serve`` needs gradio, and imports it.
"""

from .auth import Auth
from .server import serve
from .service import Limits, Service

__all__ = ["Auth", "Limits", "Service", "serve"]
