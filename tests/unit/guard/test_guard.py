"""The guard of every server: what passes, what is turned away, in process."""

import asyncio
from typing import Any

import pytest

from guard.hosts import checked_host, parse_authority
from guard.label_studio import guarded
from guard.middleware import BrowserGuard

pytestmark = pytest.mark.unit

HERE = "127.0.0.1:3000"
PASSED = 204

Header = tuple[str, str]


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Says that it was reached."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
    elif scope["type"] == "http":
        await send({"type": "http.response.start", "status": PASSED, "headers": []})
        await send({"type": "http.response.body"})
    else:
        await send({"type": "lifespan.startup.complete"})


def messages(guard: BrowserGuard, scope: dict[str, Any]) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("the guard decides by the headers alone")

    asyncio.run(guard(scope, receive, send))
    return sent


def scope(
    *headers: Header,
    method: str = "POST",
    kind: str = "http",
    path: str = "/x",
    server: tuple[str, int | None] = ("127.0.0.1", 3000),
) -> dict[str, Any]:
    asked: dict[str, Any] = {
        "type": kind,
        "path": path,
        "server": server,
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
    }
    return asked | ({"method": method} if kind == "http" else {})


def status(guard: BrowserGuard, *headers: Header, **options: Any) -> int:
    sent = messages(guard, scope(*headers, **options))
    if options.get("kind") == "websocket":
        return {"websocket.accept": PASSED, "websocket.close": 403}[sent[0]["type"]]
    return int(sent[0]["status"])


@pytest.fixture
def guard() -> BrowserGuard:
    return BrowserGuard(application, ["dagster.example.org"])


class TestHost:
    @pytest.mark.parametrize(
        "host",
        [
            "127.0.0.1:3000",
            "127.0.0.1",
            "127.9.9.9:1",
            "localhost:3000",
            "LocalHost",
            "[::1]:3000",
            "[0:0:0:0:0:0:0:1]",
            "dagster.example.org",
            "DAGSTER.example.org:8443",
        ],
    )
    def test_loopback_and_what_is_allowed_at_any_port(self, guard: BrowserGuard, host: str) -> None:
        for kind in ("http", "websocket"):
            assert status(guard, ("Host", host), kind=kind) == PASSED

    @pytest.mark.parametrize(
        "host",
        [
            "evil.example:3000",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "10.evil.example",
            "dagster.example.org.evil.example",
            "x.dagster.example.org",
            "0.0.0.0:3000",
            "192.168.1.7:3000",
            "[fd00::1]:3000",
        ],
    )
    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_every_other_name_is_refused_and_told_what_allows_it(
        self, guard: BrowserGuard, host: str, method: str
    ) -> None:
        start, body = messages(guard, scope(("Host", host), method=method))
        assert start["status"] == 421
        answer = body["body"].decode()
        assert host.strip("[]").split(":3000")[0].rstrip("]") in answer
        assert "web.allowed_hosts" in answer
        assert "IMGCLF_WEB__ALLOWED_HOSTS" in answer
        assert status(guard, ("Host", host), kind="websocket") == 403

    @pytest.mark.parametrize(
        "hosts",
        [
            [],
            [""],
            ["127.0.0.1", "evil.example"],
            ["127.0.0.1:99999"],
            ["127.0.0.1:3000:1"],
            ["user@127.0.0.1"],
            ["127.0.0.1/"],
            ["[::1"],
            ["::1"],
            ["[::1%25lo]"],
            ["loc\u00e4lhost"],
            ["127.0.0.1 evil"],
        ],
    )
    def test_what_is_no_host_is_a_bad_request(self, guard: BrowserGuard, hosts: list[str]) -> None:
        assert status(guard, *(("Host", host) for host in hosts)) == 400

    def test_the_address_a_connection_came_in_at_is_known(self, guard: BrowserGuard) -> None:
        there = ("10.0.1.5", 3000)
        assert status(guard, ("Host", "10.0.1.5:3000"), server=there) == PASSED
        assert status(guard, ("Host", "10.0.1.6:3000"), server=there) == 421
        six = ("fd00::5", 3000)
        assert status(guard, ("Host", "[fd00:0::5]:3000"), server=six) == PASSED
        # A name is none, even if a server were bound to it.
        named = ("evil.example", 3000)
        assert status(guard, ("Host", "evil.example"), server=named) == 421
        assert status(guard, ("Host", "10.0.1.5"), server=("/run/socket", None)) == 421

    def test_a_health_check_may_ask_by_any_address(self) -> None:
        guard = BrowserGuard(application, health_paths=["/server_info"])
        by_address, by_name = ("Host", "10.0.9.9:3000"), ("Host", "evil.example")
        assert status(guard, by_address, method="GET", path="/server_info") == PASSED
        assert status(guard, by_address, method="POST", path="/server_info") == 421
        assert status(guard, by_address, method="GET", path="/graphql") == 421
        assert status(guard, by_name, method="GET", path="/server_info") == 421
        assert status(guard, by_address, kind="websocket", path="/server_info") == 403

    def test_behind_what_chooses_the_name_any_passes_and_pages_do_not(self) -> None:
        guard = BrowserGuard(application, any_host=True)
        assert status(guard, ("Host", "model.aws.local:8080")) == PASSED
        evil = ("Origin", "http://evil.example")
        assert status(guard, ("Host", "model.aws.local:8080"), evil) == 403


class TestOrigin:
    @pytest.mark.parametrize(
        ("host", "origin"),
        [
            (HERE, "http://127.0.0.1:3000"),
            ("localhost:3000", "http://localhost:3000"),
            ("localhost", "http://localhost"),
            ("localhost:80", "http://localhost"),
            ("[::1]:3000", "http://[::1]:3000"),
            ("dagster.example.org", "https://dagster.example.org"),
            ("dagster.example.org:443", "https://dagster.example.org"),
            ("dagster.example.org:8443", "https://dagster.example.org:8443"),
            # A proxy that says its own Host, and a name that settings allow.
            (HERE, "https://dagster.example.org"),
        ],
    )
    def test_a_page_of_the_server_itself_may(
        self, guard: BrowserGuard, host: str, origin: str
    ) -> None:
        for kind in ("http", "websocket"):
            assert status(guard, ("Host", host), ("Origin", origin), kind=kind) == PASSED

    @pytest.mark.parametrize(
        "origin",
        [
            "http://evil.example",
            "https://evil.example:3000",
            "http://127.0.0.1:9999",
            "http://127.0.0.1",
            "http://localhost:3000",
            "https://dagster.example.org:8443",
            "http://127.0.0.1.evil.example:3000",
            "http://evil@127.0.0.1:3000",
            "chrome-extension://abcdef",
            "file://",
            "null",
            "",
            "127.0.0.1:3000",
        ],
    )
    @pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
    def test_a_page_of_another_origin_may_not(
        self, guard: BrowserGuard, origin: str, method: str
    ) -> None:
        assert status(guard, ("Host", HERE), ("Origin", origin), method=method) == 403
        assert status(guard, ("Host", HERE), ("Origin", origin), kind="websocket") == 403

    def test_of_two_origins_none_counts(self, guard: BrowserGuard) -> None:
        own, evil = ("Origin", f"http://{HERE}"), ("Origin", "http://evil.example")
        assert status(guard, ("Host", HERE), own, evil) == 403
        assert status(guard, ("Host", HERE), evil, own) == 403

    def test_it_says_who_asked_without_control_characters(self, guard: BrowserGuard) -> None:
        evil = ("Origin", "http://\x1b[31mevil\u00e9")
        _, body = messages(guard, scope(("Host", HERE), evil))
        answer = body["body"].decode()
        assert "\\x1b[31mevil\\xe9" in answer
        assert "\x1b" not in answer


def fetched(site: str, mode: str = "no-cors", dest: str = "image") -> list[Header]:
    return [
        ("Host", HERE),
        ("Sec-Fetch-Site", site),
        ("Sec-Fetch-Mode", mode),
        ("Sec-Fetch-Dest", dest),
    ]


class TestSite:
    @pytest.mark.parametrize("site", ["same-origin", "none"])
    def test_own_pages_and_typed_addresses_pass(self, guard: BrowserGuard, site: str) -> None:
        for method in ("GET", "POST"):
            assert status(guard, *fetched(site), method=method) == PASSED
        assert status(guard, *fetched(site, "websocket"), kind="websocket") == PASSED

    @pytest.mark.parametrize("site", ["cross-site", "same-site", "", "of-the-future"])
    def test_other_sites_neither_change_nor_read(self, guard: BrowserGuard, site: str) -> None:
        for method in ("GET", "POST", "DELETE"):
            assert status(guard, *fetched(site), method=method) == 403
            # A frame: what is clicked in there would be a command.
            assert status(guard, *fetched(site, "navigate", "iframe"), method=method) == 403
        assert status(guard, *fetched(site, "navigate", "document"), method="POST") == 403
        assert status(guard, *fetched(site, "websocket"), kind="websocket") == 403
        document = fetched(site, "navigate", "document")
        assert status(guard, *document, kind="websocket") == 403

    def test_a_link_may_be_followed_from_anywhere(self, guard: BrowserGuard) -> None:
        document = fetched("cross-site", "navigate", "document")
        assert status(guard, *document, method="GET") == PASSED
        assert status(guard, *document[:-1], method="GET") == PASSED
        assert status(guard, *document[:-2], method="GET") == 403

    def test_a_page_that_was_rebound_is_recognised_by_its_name(self, guard: BrowserGuard) -> None:
        # To the browser all is one origin; only the name is foreign.
        rebound = [
            ("Host", "evil.example:3000"),
            ("Origin", "http://evil.example:3000"),
            ("Sec-Fetch-Site", "same-origin"),
        ]
        assert status(guard, *rebound) == 421


def test_programs_need_none_of_these_headers(guard: BrowserGuard) -> None:
    for method in ("GET", "POST", "PUT", "DELETE"):
        assert status(guard, ("Host", HERE), method=method) == PASSED
    assert status(guard, ("Host", HERE), kind="websocket") == PASSED


def test_what_is_no_request_passes(guard: BrowserGuard) -> None:
    assert messages(guard, {"type": "lifespan"}) == [{"type": "lifespan.startup.complete"}]


def test_no_other_site_can_frame_a_page() -> None:
    async def own_header(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"x-frame-options", b"DENY")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

    asked = scope(("Host", HERE))
    start, _ = messages(BrowserGuard(application), asked)
    assert start["headers"] == [(b"x-frame-options", b"SAMEORIGIN")]
    (start,) = messages(BrowserGuard(own_header), asked)
    assert start["headers"] == [(b"x-frame-options", b"DENY")]


def test_each_reason_is_logged_once_and_not_for_ever(
    guard: BrowserGuard, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        status(guard, ("Host", "evil.example"))
    assert len(caplog.records) == 1
    for number in range(300):
        status(guard, ("Host", f"evil{number}.example"))
    assert len(caplog.records) == 100


def test_a_wsgi_application_is_guarded_by_the_same_rules() -> None:
    passed: list[str] = []

    def handler(_: object, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        passed.append(environ["PATH_INFO"])
        start_response("200 OK", [])
        return [b"answered"]

    def ask(**environ: str) -> tuple[str, bytes]:
        lines: list[str] = []
        given = {"REQUEST_METHOD": "POST", "PATH_INFO": "/api", "CONTENT_TYPE": "text/plain"}
        body = guard({}, given | environ, lambda status, headers: lines.append(status))
        return lines[0], b"".join(body)

    guard = guarded(handler, ["localhost", "127.0.0.1", "[::1]", "labels.example.org"])
    own = {"HTTP_HOST": "127.0.0.1:8080", "HTTP_ORIGIN": "http://127.0.0.1:8080"}
    assert ask(**own, HTTP_SEC_FETCH_SITE="same-origin") == ("200 OK", b"answered")
    assert ask(HTTP_HOST="labels.example.org")[0] == "200 OK"
    assert passed == ["/api", "/api"]
    status, answer = ask(HTTP_HOST="evil.example")
    assert status == "421 Misdirected Request"
    assert b"web.allowed_hosts" in answer
    assert ask(**own | {"HTTP_ORIGIN": "http://127.0.0.1:1"})[0] == "403 Forbidden"
    assert ask(HTTP_HOST="127.0.0.1", HTTP_SEC_FETCH_SITE="same-site")[0] == "403 Forbidden"
    assert ask(HTTP_HOST="127.0.0.1,evil.example")[0] == "400 Bad Request"
    assert len(passed) == 2


class TestNames:
    @pytest.mark.parametrize(
        ("written", "meant"),
        [
            ("Dagster.Example.org", "dagster.example.org"),
            (" box ", "box"),
            ("label_studio", "label_studio"),
            ("10.0.0.5", "10.0.0.5"),
            ("[FD00::0:5]", "fd00::5"),
            ("fd00::5", "fd00::5"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ],
    )
    def test_a_name_is_taken_as_browsers_send_it(self, written: str, meant: str) -> None:
        assert checked_host(written) == meant

    @pytest.mark.parametrize(
        ("written", "says"),
        [
            ("*", "in full"),
            ("*.example.org", "in full"),
            ("https://dagster.example.org", "only the name"),
            ("dagster.example.org/ui", "only the name"),
            ("dagster.example.org:3000", "without the port"),
            ("[fd00::5]:3000", "without the port"),
            ("bücher.example", "ASCII"),
            ("0.0.0.0", "listens"),
            ("::", "listens"),
            ("", "no host name"),
            ("a..b", "no host name"),
            ("-a.example", "no host name"),
            ("a b", "no host name"),
            ("a" * 64, "no host name"),
            (".".join(["a" * 60] * 5), "no host name"),
            ("user@example.org", "no host name"),
        ],
    )
    def test_what_is_no_name_is_refused_with_the_reason(self, written: str, says: str) -> None:
        with pytest.raises(ValueError, match=says):
            checked_host(written)

    def test_a_guard_is_not_made_with_what_is_no_name(self) -> None:
        for name in ("*", "*.example.org"):
            with pytest.raises(ValueError, match="in full"):
                BrowserGuard(application, [name])

    def test_what_is_allowed_is_what_a_header_is_parsed_to(self) -> None:
        for name in ("dagster.example.org", "10.0.0.5", "label_studio"):
            found = parse_authority(f"{name.upper()}:80")
            assert found is not None
            assert found.host == checked_host(name)
