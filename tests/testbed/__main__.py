"""Process A: ``python -m tests.testbed --port 0 --folder DIR --address-file F [--parent PID]``."""

import argparse
import logging
import os
import signal
import threading
from pathlib import Path
from types import FrameType


def main() -> None:
    """Serve until SIGTERM, or until the parent is gone."""
    parser = argparse.ArgumentParser(prog="python -m tests.testbed")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--address-file", type=Path)
    parser.add_argument("--parent", type=int)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    os.environ.setdefault("AWS_ACCESS_KEY_ID", "testing")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "testing")

    from tests.testbed.app import App
    from tests.testbed.server import make_server
    from tests.testbed.state import State
    from tests.testbed.watch import end_with

    if arguments.parent:
        end_with(arguments.parent)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    state = State(arguments.folder)
    server = make_server(arguments.port, App(state))
    state.url = f"http://127.0.0.1:{server.port}"

    def stop(number: int, frame: FrameType | None) -> None:
        threading.Thread(target=server.shutdown, daemon=True).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    if arguments.address_file:
        partial = arguments.address_file.with_suffix(".part")
        partial.write_text(state.url, encoding="utf-8")
        partial.replace(arguments.address_file)
    print(f"test bed at {state.url}", flush=True)
    try:
        server.serve_forever(poll_interval=0.1)
    finally:
        state.stop()
        os._exit(0)  # its threads hold nothing worth waiting for


if __name__ == "__main__":
    main()
