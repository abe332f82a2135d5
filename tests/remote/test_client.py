"""The client of HTTP against servers that fail: bounded, repeated, and one clear line."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Iterator

import pytest
from made_server import Server, send, serving

from geolulc.errors import ParameterError, RemoteError
from geolulc.remote.client import Client
from geolulc.remote.guard import is_public, require_askable
from geolulc.safe_texts import without_secrets

DATA = bytes(range(256)) * 4000


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as started:
        started.files["/data"] = DATA
        yield started


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(allow_internal=True, timeouts=(5.0, 0.3), backoff=0.01) as made:
        yield made


@pytest.mark.parametrize("fault", [500, 502, 503, 504, 429, "drop", "garbage", "cut", "stall"])
def test_what_passes_is_asked_again(fault, server, client):
    server.faults["/data"] = [fault, fault]
    assert client.read(f"{server.url}/data") == DATA
    assert len(server.asked) == 3
    assert client.received >= len(DATA)


@pytest.mark.parametrize(
    ("fault", "found", "tries"),
    [
        (401, "401 Unauthorized", 1),
        (403, "403 Forbidden", 1),
        (404, "404 Not Found", 1),
        (500, "500 Internal Server Error", 5),
        (429, "429 Too Many Requests", 5),
        ("garbage", "not HTTP", 5),
        ("drop", "breaks off", 5),
        ("cut", "ends early", 5),
        ("stall", "in time", 5),
    ],
)
def test_what_stays_is_one_line(fault, found, tries, server, client):
    server.faults["/data"] = [fault] * 20
    with pytest.raises(RemoteError) as error:
        client.read(f"{server.url}/data?sig=SECRET&name=x")
    assert found in str(error.value)
    assert "\n" not in str(error.value)
    assert "SECRET" not in str(error.value)
    assert f"{server.url}/data?sig=…&name=…" in str(error.value)
    assert len(server.asked) == tries


def test_logs_hold_no_secrets(server, client, caplog):
    server.faults["/data"] = ["drop", 500]
    with caplog.at_level("DEBUG"):
        assert client.read(f"{server.url}/data?sig=SECRET") == DATA
    assert "/data" in caplog.text
    assert "SECRET" not in caplog.text


def test_no_server_there(client):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(RemoteError, match="a refused connection"):
            client.read(f"http://127.0.0.1:{taken.getsockname()[1]}/")


def test_a_wait_that_the_server_asks_for(server, client):
    """A short one is kept; a longer one than anybody waits for is told."""
    again = lambda seconds: lambda request: send(request, 429, b"", {"Retry-After": seconds})  # noqa: E731
    server.faults["/data"] = [again("0"), again("Sat, 01 Jan 2000 00:00:00 GMT"), again("soon")]
    assert client.read(f"{server.url}/data") == DATA
    server.faults["/data"] = [again("86400")]
    with pytest.raises(RemoteError, match="asks to wait 86400 s"):
        client.read(f"{server.url}/data")
    assert len(server.asked) == 5


def test_bounds_of_a_body(server, client):
    with pytest.raises(RemoteError, match="more than 1,000 bytes"):
        client.read(f"{server.url}/data", most=1000)
    server.files["/bad"] = b"[1, 2"
    server.files["/deep"] = b"[" * 100_000
    for path in ("/bad", "/deep"):
        with pytest.raises(RemoteError, match="no JSON"):
            client.read_json(server.url + path)


def test_redirects_are_bounded(server, client):
    server.routes["/round"] = lambda r: send(r, 302, b"", {"Location": "/round"})
    server.routes["/once"] = lambda r: send(r, 302, b"", {"Location": "/data"})
    assert client.read(f"{server.url}/once") == DATA
    with pytest.raises(RemoteError, match="more than 5 redirects"):
        client.read(f"{server.url}/round")


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://example.com/x", "gopher://x/"])
def test_a_redirect_to_another_protocol(target, server, client):
    server.routes["/away"] = lambda r: send(r, 302, b"", {"Location": target})
    with pytest.raises(RemoteError, match="HTTP"):
        client.read(f"{server.url}/away")


def test_ranges(server, client):
    assert client.read_range(f"{server.url}/data", 100, 300) == (DATA[100:300], len(DATA))
    end = len(DATA)
    assert client.read_range(f"{server.url}/data", end - 5, end + 5) == (DATA[-5:], end)
    server.faults["/data"] = ["cut", "stall", 503]
    assert client.read_range(f"{server.url}/data", 0, 4000)[0] == DATA[:4000]
    server.ranges = False
    with pytest.raises(RemoteError, match="does not give parts of files"):
        client.read_range(f"{server.url}/data", 100, 300)


def test_a_download_goes_on_where_it_ended(server, client):
    server.faults["/data"] = ["cut", "stall", "cut", 500, "drop"]
    file, told = io.BytesIO(), []
    client.download(f"{server.url}/data", file, len(DATA), told=told.append)
    assert file.getvalue() == DATA
    assert sum(told) == len(DATA)
    starts = [request.headers.get("range") for request in server.asked]
    assert starts[0] is None
    assert starts[-1] not in (None, "bytes=0-")
    # what is there already is not asked for
    server.asked.clear()
    file = io.BytesIO(DATA[:1000])
    client.download(f"{server.url}/data", file, len(DATA))
    assert file.getvalue() == DATA
    assert [r.headers["range"] for r in server.asked] == ["bytes=1000-"]


def test_a_download_without_ranges_starts_anew(server, client):
    server.ranges, server.faults["/data"] = False, ["cut"]
    file, told = io.BytesIO(), []
    client.download(f"{server.url}/data", file, len(DATA), told=told.append)
    assert file.getvalue() == DATA
    assert sum(told) == len(DATA)


def test_a_download_that_is_longer_than_said(server, client):
    with pytest.raises(RemoteError, match="more than 5,000 bytes"):
        client.download(f"{server.url}/data", io.BytesIO(), 5000)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        *[(ip, False) for ip in ("127.0.0.1", "10.1.2.3", "192.168.1.1", "172.16.0.1", "0.0.0.0")],  # noqa: S104
        *[(ip, False) for ip in ("169.254.169.254", "100.64.0.1", "224.0.0.1", "255.255.255.255")],
        *[(ip, False) for ip in ("::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1")],
        *[(ip, False) for ip in ("::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::")],
        *[(ip, True) for ip in ("8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8")],
        ("64:ff9b::808:808", True),
    ],
)
def test_public_addresses(address, public):
    assert is_public(address) is public


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "http://127.0.0.1/x",
        "http://127.1/x",
        "http://2130706433/",
        "http://[::1]/",
        "http://localhost:9000/",
        "http://LOCALHOST./",
        "http://metadata.google.internal/",
        "http://169.254.169.254/latest/meta-data",
        "http://user@10.0.0.1/",
        "https:///x",
        "http://[::1",
        "http://example.com:port/",
        "/etc/passwd",
    ],
)
def test_addresses_that_are_not_asked(url, server):
    with Client(backoff=0.01) as client, pytest.raises(RemoteError) as error:
        client.read(url)
    assert (
        "internal" in str(error.value)
        or "HTTP or HTTPS" in str(error.value)
        or ("no URL" in str(error.value))
    )
    assert server.asked == []


def test_a_name_that_stands_for_an_internal_address(server, monkeypatch):
    """The name server's answer is looked at, whatever the name: here the resolver is replaced."""
    answers = socket.getaddrinfo
    port = int(server.url.rpartition(":")[2])

    def resolve(host, *rest, **options):
        return answers("127.0.0.1" if host == "rebound.example" else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with Client(backoff=0.01) as client, pytest.raises(RemoteError, match=r"address 127\.0\.0\.1"):
        client.read(f"http://rebound.example:{port}/data")
    assert server.asked == []
    with Client(allow_internal=True) as client:
        assert client.read(f"http://rebound.example:{port}/data") == DATA


def test_credentials_are_neither_sent_in_the_clear_nor_on_to_others(server, client):
    require_askable("http://example.com/", allow_internal=False)
    with Client(backoff=0.01) as strict:
        for options in ({"headers": {"Authorization": "Bearer x"}}, {"data": {"password": "x"}}):
            with pytest.raises(RemoteError, match="no encryption"):
                strict.read("http://example.com/", **options)
    with serving() as other:
        other.files["/data"] = DATA
        server.routes["/away"] = lambda r: send(r, 302, b"", {"Location": f"{other.url}/data"})
        got = client.read(f"{server.url}/away", headers={"Authorization": "Bearer SECRET"})
        assert got == DATA
        assert server.asked[-1].headers["authorization"] == "Bearer SECRET"
        assert "authorization" not in other.asked[-1].headers


def test_netrc_is_not_sent_unasked(server, client, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("default login me password SECRET\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server.routes["/away"] = lambda r: send(r, 302, b"", {"Location": "/data"})
    client.read(f"{server.url}/away")
    assert all("authorization" not in request.headers for request in server.asked)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:pw@host/a?sig=abc&x=1#k=v", "https://host/a?sig=…&x=…"),
        ("https:/me:pw@host/a?sig=abc", "https:/host/a?sig=…"),
        ("read s3://key:secret@bucket/x, then", "read s3://bucket/x, then"),
        ("Authorization: Bearer eyJhbGciOi.abc", "Authorization: Bearer …"),
        ("scenes/a?b.tif: found 3 = 4", "scenes/a?b.tif: found 3 = 4"),
        ("https://host/a?flag", "https://host/a?flag"),
    ],
)
def test_texts_without_secrets(text, shown):
    assert without_secrets(text) == shown


def test_errors_hold_no_secrets():
    error = ParameterError(
        "https://h/x?sig=SECRET",
        found="http://u:SECRET@h/",
        expected="x",
        remedy="Bearer SECRET1",
    )
    assert "SECRET" not in str(error)


def test_threads_share_a_client(server, client):
    results = []

    def read(start: int) -> None:
        results.append(client.read_range(f"{server.url}/data", start, start + 50)[0])

    threads = [threading.Thread(target=read, args=(i * 10,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == sorted(DATA[i * 10 : i * 10 + 50] for i in range(8))


def test_a_request_knows_its_place(server, client):
    for head in ("bytes 7-106/1000", "bytes */1000", "lines 1-2/3", "bytes 1-2/" + "9" * 100, ""):
        server.faults["/data"] = [
            lambda r, head=head: send(r, 206, b"x" * 100, {"Content-Range": head})
        ] * 9
        with pytest.raises(RemoteError, match="bounded, well-formed"):
            client.read_range(f"{server.url}/data", 0, 100)
