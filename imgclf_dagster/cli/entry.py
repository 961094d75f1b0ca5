"""The program ``imgclf``: looks at the system before anything is imported that needs it."""

import sys


def main() -> None:
    """Run the command line, or say where it runs."""
    if sys.platform == "win32":  # process groups, Unix sockets, owners of files
        sys.exit(
            "imgclf runs on Linux and macOS. On Windows, use WSL 2: `wsl --install` "
            "(https://learn.microsoft.com/windows/wsl/install), then install imgclf there"
        )
    from imgclf_dagster.cli.main import app

    app()


if __name__ == "__main__":
    main()
