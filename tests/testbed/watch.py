"""Ending with the process that started us, whatever ended that one."""

import os
import signal
import threading
import time

import psutil


def end_with(pid: int, interval_s: float = 0.5) -> None:
    """Send ourselves SIGTERM, and SIGKILL 5 s later, once the process ``pid`` is gone."""
    parent = psutil.Process(pid)

    def watch() -> None:
        while parent.is_running() and parent.status() != psutil.STATUS_ZOMBIE:
            time.sleep(interval_s)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
        os.kill(os.getpid(), signal.SIGKILL)

    def guarded() -> None:
        try:
            watch()
        except psutil.NoSuchProcess:
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=guarded, name="watch-parent", daemon=True).start()
