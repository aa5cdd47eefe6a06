"""Serve a web page that segments pictures with names of the visitor's own.

  errseg web --weights errseg_base.pth

The page is at http://127.0.0.1:7860. To open it to other machines:
  errseg web --host 0.0.0.0 --allow-host example.org --auth lab:password.txt
Uploads are kept in a temporary folder for some minutes. /healthz tells whether
the page runs. The page needs gradio: pip install 'errseg[web]'.
"""

import argparse

from .options import add_model, load_model, positive
from .parser import Parser


def add_arguments(parser: Parser) -> None:
    """Declare the options; the options of ``Limits`` have its defaults."""
    add = parser.add_argument
    add_model(parser)
    add("--host", default="127.0.0.1", help="the address to listen at (default: %(default)s, only this machine)")
    add("--port", type=positive, default=7860, help="(default: %(default)s)")
    add(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a further host name of the page, such as that of a proxy; may be given several times",
    )
    add(
        "--auth",
        metavar="USER:FILE",
        help="ask for a user and a password (HTTP Basic: on a network, put a proxy with TLS before the page); FILE "
        "holds the password in one line, and must not be readable by other users of the machine (chmod 600)",
    )
    limits = parser.add_argument_group("limits of a request")
    limits.add_argument("--max-pixels", type=positive, metavar="N", help="most pixels of a picture")
    limits.add_argument("--max-names", type=positive, metavar="N", help="most names of a vocabulary")
    limits.add_argument("--keep-seconds", type=positive, metavar="N", help="seconds until an upload is deleted")


def run(args: argparse.Namespace) -> int:
    """Serve until a signal ends it."""
    from errseg.web import Auth, Limits, serve
    from errseg.web.server import check_gradio, end_by_signal

    check_gradio()
    given = {name: getattr(args, name) for name in ("max_pixels", "max_names", "keep_seconds")}
    limits = Limits(**{name: value for name, value in given.items() if value is not None})
    auth = Auth.from_option(args.auth) if args.auth else None
    try:
        segmenter = load_model(args)
        end_by_signal()
        serve(segmenter, args.host, args.port, limits, args.allow_host, auth)
    except KeyboardInterrupt:
        pass
    return 0
