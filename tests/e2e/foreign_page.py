"""A page of somebody else, open in the same browser, that does what such a page can do."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FOREIGN_HOST = "evil.example"
"""Leads to this machine, by an argument of the browser."""

WAYS = {
    "image": "image",
    "get": "cors",
    "get without cors": "no-cors",
    "post as text": "no-cors",
    "post of nothing": "no-cors",
    "post of a file": "no-cors",
    "post as json": "cors",
    "beacon": "no-cors",
    "form": "navigate",
    "form as text": "navigate",
    "form with files": "navigate",
    "frame": "navigate",
}
"""Every way of asking, and the mode of the request that the browser makes of it."""

SCRIPT = """async ({url, body}) => {
  const at = by => url + (url.includes('?') ? '&' : '?') + 'by=' + encodeURIComponent(by);
  const ask = async (by, options) => {
    try { const a = await fetch(at(by), options); return [a.type, a.status, await a.text()]; }
    catch (error) { return [String(error)]; }
  };
  const framed = prepare => new Promise(done => {
    const frame = document.createElement('iframe');
    frame.name = 'frame' + Math.random();
    document.body.append(frame);
    frame.onload = () => done('loaded');
    prepare(frame);
  });
  const file = () => {
    const form = new FormData();
    form.append('files', new File(['of a foreign page'], 'foreign.txt'));
    return form;
  };
  const form = (by, enctype) => framed(frame => {
    const form = document.createElement('form'), input = document.createElement('input');
    Object.assign(form, {method: 'post', action: at(by), enctype, target: frame.name});
    [input.name, input.value] = [body.slice(0, -1), body.slice(-1)];  // JSON, but for a "="
    form.append(input);
    document.body.append(form);
    form.submit();
  });
  const image = by => new Promise(done => {
    const image = new Image();
    image.onload = image.onerror = event => done(event.type);
    image.src = at(by);
  });
  const post = (mode, type) =>
    ({method: 'POST', mode, body, headers: type ? {'Content-Type': type} : {}});
  return {
    'image': await image('image'),
    'get': await ask('get', {}),
    'get without cors': await ask('get without cors', {mode: 'no-cors'}),
    'post as text': await ask('post as text', post('no-cors', 'text/plain; application/json')),
    'post of nothing': await ask('post of nothing', {method: 'POST', mode: 'no-cors'}),
    'post of a file': await ask('post of a file', {method: 'POST', mode: 'no-cors', body: file()}),
    'post as json': await ask('post as json', post('cors', 'application/json')),
    'beacon': navigator.sendBeacon(at('beacon'), body),
    'form': await form('form', 'application/x-www-form-urlencoded'),
    'form as text': await form('form as text', 'text/plain'),
    'form with files': await form('form with files', 'multipart/form-data'),
    'frame': await framed(frame => { frame.src = at('frame'); }),
  };
}"""

SOCKET = """([url, protocol]) => new Promise(done => {
  const socket = new WebSocket(url, protocol);
  socket.onopen = () => done('open');
  socket.onerror = () => done('refused');
})"""


class Site(ThreadingHTTPServer):
    """Somebody else's server: an empty page, and what was asked of it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, str]] = []

    @property
    def port(self) -> int:
        return self.server_address[1]


class _Handler(BaseHTTPRequestHandler):
    server: Site

    def _answer(self) -> None:
        for by in parse_qs(urlsplit(self.path).query).get("by", []):
            self.server.asked.append((self.command, by))
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = do_OPTIONS = _answer

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def foreign_site() -> Iterator[Site]:
    """Somebody else's server, while the block lasts."""
    with Site() as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


@contextmanager
def foreign_page(browser: "Browser", host: str, site: Site) -> Iterator["Page"]:
    """Its page, under the name ``host``."""
    page = browser.new_page()
    page.goto(f"http://{host}:{site.port}/")
    yield page
    page.close()


def attack(page: "Page", url: str, body: str) -> dict[str, Any]:
    """Have ``page`` ask ``url`` in every way there is; what each came to."""
    came_to: dict[str, Any] = page.evaluate(SCRIPT, {"url": url, "body": body})
    assert set(came_to) == set(WAYS)
    return came_to


def opened(page: "Page", url: str, protocol: str) -> bool:
    """Whether ``page`` gets a websocket to ``url``."""
    answer = page.evaluate(SOCKET, [url.replace("http", "ws", 1), protocol])
    return bool(answer == "open")
