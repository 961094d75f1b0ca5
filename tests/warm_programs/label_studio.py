"""Label Studio in copies of a process that has imported its libraries, but none of its own modules.

Run as a file by the Python of its environment: ``python -I label_studio.py SOCKET -I FILE …``.
"""

import importlib.util
import os
import sys
from pathlib import Path
from tempfile import mkdtemp


def environment(python: Path, version: str, socket: str) -> Path:
    """Make an environment of Label Studio, as its installer leaves one, whose Python starts warm.

    Args:
        python: of the real environment.
        version: of Label Studio in it.
        socket: path of the server's socket.

    Returns:
        Its folder.
    """
    folder = Path(mkdtemp(prefix="label-studio-", dir=Path(socket).parent))
    (folder / "lib" / "python3" / "site-packages" / f"label_studio-{version}.dist-info").mkdir(
        parents=True
    )
    program = folder / "bin" / "python"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{python}" -I "{__file__}" "{socket}" "$@"\n')
    program.chmod(0o755)
    return folder


def main() -> None:
    """Hand this process's program over to the server at a socket, or run it as ever."""
    socket, *arguments = sys.argv[1:]
    path = Path(__file__).with_name("sitecustomize.py")
    spec = importlib.util.spec_from_file_location("warm_client", path)
    assert spec is not None
    assert spec.loader is not None
    client = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(client)
    sys.orig_argv = [sys.executable, *arguments]
    client.hand_over(socket)
    os.execv(sys.executable, [sys.executable, *arguments])


if __name__ == "__main__":
    main()
