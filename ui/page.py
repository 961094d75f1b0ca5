"""The predictor's page: the models of staging and production predict the user's images."""

import logging
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from ui.cards import Card, render
from ui.correction_dialog import DIALOG
from ui.corrections import CorrectionCounter
from ui.runtime import MAX_BODY_MB, PARALLEL, STAGES, ModelAnswer, Problem, Runtime, Stage, too_big
from ui.thumbnails import is_costly, thumbnail

if TYPE_CHECKING:
    import gradio as gr

MAX_IMAGES = 200
"""Images taken at once; the note says how many were left out."""

_UPDATE_EVERY_S = 0.4
_PREVIEWS_S = 30.0
"""Seconds in which previews are made; images after that have none."""

_UPLOADS_KEPT_S = 600
"""Seconds. Gradio names a file by its content, so another visitor may still need it."""

log = logging.getLogger("ui")


def build_page(runtime: Runtime, counter: CorrectionCounter | None = None) -> "gr.Blocks":
    """Build the page for the endpoints of ``runtime``.

    Args:
        runtime: client of the endpoints.
        counter: takes corrections; without it the page has no button for them.
    """
    import gradio as gr

    with gr.Blocks(
        title=f"{runtime.project} predictor",
        analytics_enabled=False,
        delete_cache=(_UPLOADS_KEPT_S, _UPLOADS_KEPT_S),
    ) as page:
        gr.HTML(
            f"<h1>{escape(runtime.project)} <span>predictor</span></h1>"
            "<p>Predictions of the models in staging and in production for your images.</p>",
            elem_id="title",
        )
        files = gr.File(file_count="multiple", show_label=False, height=132, elem_id="files")
        note = gr.Markdown(elem_id="note")
        results = gr.HTML(elem_id="results")
        if counter is not None:
            gr.HTML(DIALOG, elem_id="correction")

        def asked(paths: list[str] | None) -> Iterator[tuple[None, str, str]]:
            for text, html in answer(runtime, [Path(path) for path in paths or []], counter):
                yield None, text, html

        files.upload(
            asked, files, [files, note, results], show_progress="hidden", api_visibility="private"
        )
    # While nobody asks anything, Gradio looks for requests a thousand times a second, which takes
    # some 3 % of a core for as long as the page is served. These are its values on Windows.
    page._queue.sleep_when_free = 0.05
    page._queue.progress_update_sleep_when_free = 0.1
    return page


def answer(
    runtime: Runtime, paths: list[Path], counter: CorrectionCounter | None = None
) -> Iterator[tuple[str, str]]:
    """Ask both stages about each image, and yield the page while the answers come in.

    A failure of one file is shown on its card. Queued requests are cancelled when the generator is
    closed.

    Args:
        runtime: client of the endpoints.
        paths: uploaded files; those after ``MAX_IMAGES`` are left out.
        counter: registers the cards for corrections.

    Yields:
        The note, and the HTML of the result cards.
    """
    left_out = len(paths) - MAX_IMAGES
    note = f"{left_out} more were left out: {MAX_IMAGES} at a time." if left_out > 0 else ""
    cards = [(Card(path.name, _size(path)), path) for path in paths[:MAX_IMAGES]]
    if counter is not None:
        for card, path in cards:
            counter.register(card, path)
    shown_cards = [card for card, _ in cards]
    yield note, render(shown_cards)
    shown = time.monotonic()
    asking, drawing = ThreadPoolExecutor(PARALLEL), ThreadPoolExecutor(1)
    try:
        previews = Previews()
        parts: dict[Future[str | ModelAnswer | Problem | None], tuple[Card, Stage | None]] = {
            drawing.submit(drawn, card, path): (card, None)
            for drawn in (previews.cheap, previews.costly)
            for card, path in cards
        }
        for card, path in cards:
            for stage in STAGES:
                parts[asking.submit(_asked, runtime, stage, card, path)] = (card, stage)
        for part in as_completed(parts):
            _put(part.result(), *parts[part])
            if time.monotonic() - shown > _UPDATE_EVERY_S:
                yield note, render(shown_cards)
                shown = time.monotonic()
    finally:
        for pool in (asking, drawing):
            pool.shutdown(wait=False, cancel_futures=True)
    yield note, render(shown_cards)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # predicting it reports why


def _put(value: str | ModelAnswer | Problem | None, card: Card, stage: Stage | None) -> None:
    if isinstance(value, ModelAnswer | Problem):
        if stage is not None:
            card.answers[stage] = value
    elif value is not None:
        card.picture = value


class Previews:
    """Makes the cards' pictures in one thread, the cheap ones first, within ``_PREVIEWS_S``."""

    def __init__(self) -> None:
        self._until = time.monotonic() + _PREVIEWS_S
        self._later: set[Path] = set()

    def cheap(self, card: Card, path: Path) -> str | None:
        """Return the card's picture; ``None`` if it has none, or is left for :meth:`costly`."""
        data = self._read(card, path)
        if data is not None and is_costly(data):
            self._later.add(path)
            return None
        return thumbnail(data) if data is not None else None

    def costly(self, card: Card, path: Path) -> str | None:
        """Return the picture of a card that :meth:`cheap` left."""
        data = self._read(card, path) if path in self._later else None
        return thumbnail(data) if data is not None else None

    def _read(self, card: Card, path: Path) -> bytes | None:
        try:
            return path.read_bytes() if time.monotonic() < self._until else None
        except OSError as error:
            log.warning("%s has no preview: %s", card.name, error.strerror)
            return None


def _asked(runtime: Runtime, stage: Stage, card: Card, path: Path) -> ModelAnswer | Problem:
    """Return a stage's prediction of the card's image."""
    try:
        if card.size > MAX_BODY_MB * 1024**2:
            return too_big(card.size)
        return runtime.predict(stage, path.read_bytes())
    except OSError as error:
        return Problem("image", f"The file cannot be read: {error.strerror}. Drop it again.")
    except Exception as error:  # of one file only
        log.exception("%s got no request for an image", runtime.endpoint(stage))
        text = f"This predictor failed on the image ({type(error).__name__}); its log says more."
        return Problem("failed", text)
