"""A web page to segment pictures with names of your own.

    python tools/web.py                                # the quickstart's model, at http://127.0.0.1:7860
    python tools/web.py --weights errseg_base.pth      # a released checkpoint, or one of yours
    python tools/web.py --host 0.0.0.0 --port 80 --allow-host errseg.example.org --auth lab:password.txt   # for others

What visitors send is kept in a temporary folder for a few minutes and deleted with it when the page ends. The page
answers under the address that it listens at, and under the names of --allow-host; /healthz tells a monitor that it
runs. gradio is needed: pip install -e '.[web]'.
"""

import argparse
import sys

import errseg  # noqa: F401  makes detectron2 importable
from errseg.api.arguments import add_model, load_model
from errseg.errors import UsageError
from errseg.web import Auth, Limits, serve
from errseg.web.server import check_gradio, end_by_signal


def main() -> int:
    args = parse()
    try:
        check_gradio()
        limits = Limits(max_pixels=args.max_pixels, max_names=args.max_names, keep_seconds=args.keep_seconds)
        auth = Auth.from_option(args.auth) if args.auth else None
        end_by_signal()
        serve(load_model(args), args.host, args.port, limits, args.allow_host, auth)
    except UsageError as error:
        print(f"web.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0
    return 0


def parse() -> argparse.Namespace:
    """The command line."""
    default = Limits()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model(parser)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: this machine alone)")
    parser.add_argument("--port", type=positive, default=7860, help="(default: %(default)s)")
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a further name under which visitors reach the page, such as that of a proxy; may be given several times",
    )
    parser.add_argument(
        "--auth",
        metavar="USER:PASSWORD-FILE",
        help="ask for a user and a password (HTTP Basic: on a network, put a proxy with TLS before the page); the file "
        "holds the password alone, in one line, and other users of the machine cannot read it (chmod 600)",
    )
    limits = parser.add_argument_group("limits of a request")
    limits.add_argument("--max-pixels", type=positive, default=default.max_pixels, metavar="N", help="of a picture")
    limits.add_argument("--max-names", type=positive, default=default.max_names, metavar="N", help="of a vocabulary")
    limits.add_argument(
        "--keep-seconds", type=positive, default=default.keep_seconds, metavar="N", help="until an upload is deleted"
    )
    return parser.parse_args()


def positive(text: str) -> int:
    """A whole number from 1 on."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
