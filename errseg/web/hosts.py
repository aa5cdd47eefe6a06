"""The host names under which the page answers. Other sites cannot reach the page through a visitor's browser.

By DNS rebinding, another site can make a browser resolve its name to this machine. The Host header then has that name.
"""

import ipaddress
import re
from collections.abc import Iterable

from errseg.errors import UsageError

from .replies import Message, Refusal

__all__ = ["Hosts", "host_of"]

NETLOC = re.compile(r"(\[[0-9a-f:.]+(?:%\w+)?\]|[a-z0-9_.-]+)(?::(\d{1,5}))?", re.IGNORECASE)
LOOPBACK = ("localhost", "127.0.0.1", "::1")
PORTS = {None, "80", "443"}  # the ports that a browser leaves out


def host_of(netloc: str) -> str | None:
    """The host of ``host:port``, in lower case; None where the text has another form."""
    match = NETLOC.fullmatch(netloc.strip())
    return match[1].strip("[]").rstrip(".").lower() or None if match else None


class Hosts:
    """The host names that requests may have."""

    def __init__(self, bound: str, allowed: Iterable[str] = ()):
        """
        Args:
            bound: the address or name at which the server listens.
            allowed: further names under which visitors reach the server.

        Raises:
            UsageError: a name is no host.
        """
        self._allowed = set(map(_checked, allowed))
        self._names = {_checked(bound)} | self._allowed
        if _is_local(bound):
            self._names.update(LOOPBACK)

    def check(self, scope: Message) -> list[tuple[bytes, bytes]]:
        """The headers of a request, without a proxy's headers that name a host which is not allowed.

        Raises:
            Refusal: the request names another host, or comes from the page of another site.
        """
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        names = self._names | {str((scope.get("server") or [None])[0])}  # and the address of the connection itself
        if len(hosts) != 1 or host_of(hosts[0]) not in names:
            raise Refusal(403, "The page does not answer under this host name; --allow-host NAME adds it.")
        for name, value in scope["headers"]:
            if name == b"origin" and not self._is_own(value.decode("latin-1"), hosts[0]):
                raise Refusal(403, "The page accepts no requests from other sites.")
        return [header for header in scope["headers"] if self._passes(*header)]

    def _is_own(self, origin: str, host: str) -> bool:
        scheme, _, netloc = origin.partition("://")
        if scheme not in ("http", "https") or not (one := NETLOC.fullmatch(netloc)):
            return False
        if host_of(netloc) in self._allowed:
            return True
        other = NETLOC.fullmatch(host.strip())
        ports = {one[2], other[2]} if other else set()
        return host_of(netloc) == host_of(host) and (len(ports) == 1 or ports <= PORTS)

    def _passes(self, name: bytes, value: bytes) -> bool:
        """Whether a header is passed on. gradio builds addresses from the headers that a proxy adds."""
        if name == b"x-forwarded-proto":
            return value in (b"http", b"https")
        if name == b"x-forwarded-host":
            return host_of(value.decode("latin-1")) in self._allowed
        return not name.startswith((b"x-forwarded", b"forwarded"))


def _checked(text: str) -> str:
    host = host_of(text) or host_of(f"[{text}]")  # an IPv6 address may come without its brackets
    if host is None:
        raise UsageError(f"{text!r} is no host; give a name or an address, such as errseg.example.org.")
    return host


def _is_local(bound: str) -> bool:
    """Whether a server that listens at this address can be reached by the names of the loopback."""
    try:
        address = ipaddress.ip_address(bound.strip("[]"))
    except ValueError:
        return bound.lower() == "localhost"
    return address.is_loopback or address.is_unspecified
