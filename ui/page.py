"""The predictor's page: images in, what staging and production say of them out."""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from ui.cards import Card, render, thumbnail
from ui.correction_dialog import DIALOG
from ui.corrections import CorrectionCounter
from ui.runtime import PARALLEL, STAGES, Prediction, Problem, Runtime, Stage

if TYPE_CHECKING:
    import gradio as gr

MAX_IMAGES = 200
"""Images taken at once; the rest is left out, and said so."""

_UPDATE_EVERY_S = 0.4
_UPLOADS_KEPT_S = 600
"""Not deleted at once: Gradio names a file by its content, so another visitor may need it."""


def build_page(runtime: Runtime, counter: CorrectionCounter | None = None) -> "gr.Blocks":
    """The page, asking the endpoints behind ``runtime``.

    Args:
        counter: takes corrections; without one the page has no button for them.
    """
    import gradio as gr

    with gr.Blocks(
        title=f"{runtime.project} predictor",
        analytics_enabled=False,
        delete_cache=(_UPLOADS_KEPT_S, _UPLOADS_KEPT_S),
    ) as page:
        gr.HTML(
            f"<h1>{escape(runtime.project)} <span>predictor</span></h1>"
            "<p>What the models in staging and in production see on your images.</p>",
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
    return page


def answer(
    runtime: Runtime, paths: list[Path], counter: CorrectionCounter | None = None
) -> Iterator[tuple[str, str]]:
    """Ask both stages about each image; yields (note, result cards) as the answers come in."""
    left_out = len(paths) - MAX_IMAGES
    note = f"{left_out} more were left out: {MAX_IMAGES} at a time." if left_out > 0 else ""
    images = [path.read_bytes() for path in paths[:MAX_IMAGES]]
    cards = [
        Card(path.name, len(data), thumbnail(data))
        for path, data in zip(paths, images, strict=False)
    ]
    if counter is not None:
        for card, path in zip(cards, paths, strict=False):
            counter.register(card, path)
    yield note, render(cards)
    shown = time.monotonic()
    with ThreadPoolExecutor(PARALLEL) as pool:
        asked: dict[Future[Prediction | Problem], tuple[Card, Stage]] = {
            pool.submit(runtime.predict, stage, data): (card, stage)
            for card, data in zip(cards, images, strict=True)
            for stage in STAGES
        }
        for future in as_completed(asked):
            card, stage = asked[future]
            card.answers[stage] = future.result()
            if time.monotonic() - shown > _UPDATE_EVERY_S:
                yield note, render(cards)
                shown = time.monotonic()
    yield note, render(cards)
