"""Base class of all errors that are shown to a user."""


class ImgclfError(Exception):
    """An error that the user can fix or has to know of.

    The command line prints these and exits with 1; any other exception is a bug and keeps its
    traceback.

    Attributes:
        message: what is wrong, with the name of the item.
        remedy: what to do; empty if the message says it, or nothing can be done.
    """

    def __init__(self, message: str = "", remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        """Return message and remedy, for logs, Dagster's pages and other messages."""
        if not self.remedy:
            return self.message
        # After multi-line output of another program the remedy begins on a new line.
        return self.message + ("\n" if "\n" in self.message else ": ") + self.remedy
