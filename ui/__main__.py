"""``python -m ui``: the predictor's page, for a person with a browser."""

import argparse
import os
import sys

from guard.arguments import add_allow_host
from guard.connections import BoundedProtocol
from guard.middleware import BrowserGuard
from ui.bodies import BodyBound
from ui.correction_dialog import DIALOG_CSS, DIALOG_JS
from ui.corrections import CorrectionCounter, add_routes
from ui.feedback import Feedback
from ui.look import CSS, PASTE
from ui.page import build_page
from ui.runtime import Runtime

TOKEN_VARIABLE = "IMGCLF_FEEDBACK_TOKEN"  # noqa: S105 - a name
"""Token of the labelling backend; in the environment, where other users cannot see it."""

MAX_UPLOAD = "100mb"
_SHUTDOWN_S = 3


def main() -> None:
    """Serve the page until SIGTERM or SIGINT."""
    arguments = _arguments()
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # also no version check
    os.environ["HF_HUB_OFFLINE"] = "1"

    import gradio as gr
    import uvicorn
    from fastapi import FastAPI

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/ping")
    def ping() -> dict[str, str]:
        return {"status": "ok"}

    counter = _counter(arguments.feedback_url)
    if counter is not None:
        add_routes(app, counter)
    gr.mount_gradio_app(
        app,
        build_page(Runtime(arguments.endpoint_url, arguments.project), counter),
        path="/",
        footer_links=[],
        max_file_size=MAX_UPLOAD,
        ssr_mode=False,
        theme=gr.themes.Base(
            primary_hue="indigo",
            neutral_hue="zinc",
            font=["ui-sans-serif", "system-ui", "sans-serif"],
            font_mono=["ui-monospace", "Consolas", "monospace"],
        ),
        css=CSS + DIALOG_CSS,
        js=f"() => {{ ({PASTE})(); ({DIALOG_JS})(); }}" if counter else PASTE,
    )
    uvicorn.run(
        BrowserGuard(BodyBound(app), arguments.allow_host),
        host=arguments.host,
        port=arguments.port,
        http=BoundedProtocol,
        access_log=False,
        timeout_graceful_shutdown=_SHUTDOWN_S,
    )


def _counter(feedback_url: str) -> CorrectionCounter | None:
    """Return what sends corrections to the labelling backend; ``None`` without a backend."""
    if not feedback_url:
        return None
    token = os.environ.get(TOKEN_VARIABLE, "")
    if not token:
        sys.exit(
            f"--feedback-url needs {TOKEN_VARIABLE}: the feedback_token of the backend's "
            "credentials"
        )
    return CorrectionCounter(Feedback(feedback_url, token))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m ui", description=__doc__)
    parser.add_argument(
        "--endpoint-url", required=True, help="URL of a server with SageMaker Runtime's API"
    )
    parser.add_argument("--project", required=True, help="endpoints are <project>-<stage>")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=_port, default=7860, help="port to listen on")
    add_allow_host(parser)
    parser.add_argument(
        "--feedback-url",
        default="",
        help=f"the labelling backend, which takes corrections; its token is in {TOKEN_VARIABLE}. "
        "Without it cards have no button for them",
    )
    return parser.parse_args()


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 5 and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no port; give 0 to 65535")
    return int(text)


if __name__ == "__main__":
    main()
