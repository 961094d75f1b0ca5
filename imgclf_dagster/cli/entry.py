"""The program ``imgclf``. Checks the platform before it imports modules that need POSIX."""

import sys


def main() -> None:
    """Run the command line; on Windows, exit with a message that points to WSL 2."""
    if sys.platform == "win32":  # process groups, Unix sockets, owners of files
        sys.exit(
            "imgclf runs on Linux and macOS. On Windows, use WSL 2: `wsl --install` "
            "(https://learn.microsoft.com/windows/wsl/install), then install imgclf there"
        )
    from imgclf_dagster.cli.main import app

    app()


if __name__ == "__main__":
    main()
