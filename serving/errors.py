"""Errors of requests and models."""

from errors.base import ImgclfError


class RequestRefused(ImgclfError):
    """A request that gets no prediction.

    Args:
        status: HTTP status.
        code: error code for programs, in snake_case.
        message: one sentence for people.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class ModelUnusable(ImgclfError, RuntimeError):
    """The model of a deployment record cannot be served; a retry does not help."""
