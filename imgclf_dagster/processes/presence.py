"""Whether ``imgclf up`` runs in a home."""

from pathlib import Path

from filelock import FileLock, Timeout

UP_LOCK = "up.lock"


def is_up(run_dir: Path) -> bool:
    """Whether ``imgclf up`` runs in a home, by its lock (see ``supervisor.single_instance``)."""
    if not run_dir.exists():
        return False
    try:
        with FileLock(run_dir / UP_LOCK).acquire(timeout=0):
            return False
    except Timeout:
        return True
