"""The base of every error that is told to a user."""


class ImgclfError(Exception):
    """An error that a user can do something about, or has to know of.

    The command line prints these and exits with 1; any other exception is a defect of ours and
    keeps its traceback.

    Attributes:
        message: what is wrong, naming the item.
        remedy: what to do about it; empty if the message says it, or there is nothing to do.
    """

    def __init__(self, message: str = "", remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        """Message and remedy, for logs, Dagster's pages and other messages."""
        if not self.remedy:
            return self.message
        # After the output of another program the remedy begins a line of its own.
        return self.message + ("\n" if "\n" in self.message else ": ") + self.remedy
