import pytest

from errseg.errors import UsageError
from errseg.web.hosts import Hosts
from errseg.web.replies import Refusal


def passes(hosts, host=None, origin=None, server="127.0.0.1", more=()):
    headers = [(b"host", host)] if host is not None else []
    headers += [(b"origin", origin)] if origin is not None else []
    try:
        hosts.check({"headers": [*headers, *more], "server": (server, 7860)})
    except Refusal as refusal:
        assert refusal.status == 403
        return False
    return True


@pytest.mark.parametrize(
    "host", [b"127.0.0.1:7860", b"localhost:7860", b"LOCALHOST", b"localhost.:8000", b"[::1]:7860"]
)
def test_the_loopbacks_names(host):
    for bound in ("127.0.0.1", "localhost", "0.0.0.0", "::1", "::", "[::]"):
        assert passes(Hosts(bound), host)
    assert not passes(Hosts("192.0.2.7"), host, server="192.0.2.7")


@pytest.mark.parametrize(
    "host",
    [b"evil.example", b"evil.example:7860", b"127.0.0.1.evil.example", b"localhost@evil.example", b"192.0.2.9:7860"]
    + [None, b"", b":7860", b"localhost, evil.example", b"localhost/", b"127.0.0.1:7860:1", b"0.0.0.0", b"\xff"],
)
def test_other_names_are_refused(host):
    """A browser sends them where a foreign name was made to mean this machine (DNS rebinding)."""
    assert not passes(Hosts("127.0.0.1"), host)
    assert not passes(Hosts("127.0.0.1"), host, b"http://" + (host or b""))
    assert not passes(Hosts("127.0.0.1", ["other.example"]), host)


def test_a_host_twice_is_refused():
    assert not passes(Hosts("127.0.0.1"), b"localhost", more=[(b"host", b"evil.example")])


def test_what_was_configured():
    assert passes(Hosts("192.0.2.7"), b"192.0.2.7:80", server="192.0.2.7")
    assert passes(Hosts("0.0.0.0"), b"192.0.2.7:80", server="192.0.2.7")  # the address that the connection came to
    assert not passes(Hosts("0.0.0.0"), b"192.0.2.8:80", server="192.0.2.7")
    hosts = Hosts("127.0.0.1", ["Errseg.Example.org", "192.0.2.1"])
    assert passes(hosts, b"errseg.example.org:8080") and passes(hosts, b"192.0.2.1")
    assert not passes(hosts, b"sub.errseg.example.org")


@pytest.mark.parametrize(
    ("origin", "is_own"),
    [
        (b"http://localhost:7860", True),
        (b"http://LOCALHOST:7860", True),
        (b"https://proxy.example", True),  # it was allowed, whatever the proxy writes as Host
        (b"http://localhost:3000", False),  # another program of this machine
        (b"http://127.0.0.1:7860", False),
        (b"http://evil.example", False),
        (b"http://localhost:7860.evil.example", False),
        (b"file://localhost:7860", False),
        (b"null", False),
        (b"", False),
    ],
)
def test_origins(origin, is_own):
    assert passes(Hosts("127.0.0.1", ["proxy.example"]), b"localhost:7860", origin) == is_own


def test_a_port_that_browsers_leave_out():
    hosts = Hosts("127.0.0.1", ["a.example"])
    assert passes(hosts, b"a.example", b"https://a.example") and passes(hosts, b"a.example:443", b"https://a.example")


def test_no_header_names_a_host_that_is_not_allowed():
    """gradio builds the page's addresses from those that a proxy adds."""
    sent = [
        (b"host", b"localhost"),
        (b"x-forwarded-host", b"evil.example"),
        (b"x-forwarded-host", b"a.example, evil.example"),
        (b"x-forwarded-server", b"evil.example"),
        (b"x-forwarded-proto", b"evil"),
        (b"forwarded", b"host=evil.example"),
    ]
    good = [(b"x-forwarded-host", b"a.example"), (b"x-forwarded-proto", b"https"), (b"accept", b"*/*")]
    scope = {"headers": [*sent, *good], "server": None}
    assert Hosts("127.0.0.1", ["a.example"]).check(scope) == [sent[0], *good]
    assert good[0] not in Hosts("127.0.0.1").check(scope)


@pytest.mark.parametrize("name", ["", "http://a.example", "a.example/x", "*", "a b", "a,b"])
def test_what_is_no_host_is_a_sentence(name):
    with pytest.raises(UsageError, match="is no host; give a name or an address"):
        Hosts("127.0.0.1", [name])
