"""Failures of a job, distinguished by whether a retry can help."""

from errors.base import ImgclfError


class PermanentFailure(ImgclfError):
    """A failure that a retry cannot cure: bad data, an impossible configuration.

    The compute port recognises this class by its name in the exception that Dagster Pipes sends, and
    does not retry. The message names the item and the remedy.
    """


class WeightsUnavailable(PermanentFailure):
    """The pretrained weights of an architecture can be neither found nor downloaded."""


class PermissionDenied(PermanentFailure):
    """The job's role lacks a permission; the message names it."""


class PeerLost(ImgclfError, RuntimeError):
    """Another process of the job ended, or its machine is lost; its own failure has the reason."""


class ArtefactError(ImgclfError, ValueError):
    """A model artefact differs from its manifest, or is no artefact."""


class ImageRejected(ImgclfError, ValueError):
    """A file is no usable image; ``reason`` says why, for people."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
