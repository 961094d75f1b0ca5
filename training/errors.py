"""Failures of a job, told apart by whether running it again can help."""

from errors.base import ImgclfError


class PermanentFailure(ImgclfError):  # noqa: N818 - the name is part of the contract
    """What a rerun cannot cure: bad data, an impossible configuration.

    The compute port recognises this class by its name in the exception that Dagster Pipes
    carries, and stops retrying. The message names the item and the remedy.
    """


class WeightsUnavailable(PermanentFailure):
    """The pretrained weights of an architecture can be neither found nor downloaded."""


class PermissionDenied(PermanentFailure):
    """The job's role may not do what the job has to; the message names the permission."""


class PeerLost(ImgclfError, RuntimeError):  # noqa: N818 - told like the others here
    """Another process of the job has ended, or its machine is gone: its own failure says why."""


class ArtefactError(ImgclfError, ValueError):
    """A model artefact is not what its manifest says, or not one at all."""


class ImageRejected(ImgclfError, ValueError):  # noqa: N818 - the word the tables and the pages use
    """A file that is not a picture to train or predict on; ``reason`` says why, for people."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
