"""Fixtures with a real Label Studio; tests/conftest.py imports them."""

import os
from collections.abc import Iterator
from dataclasses import replace

import pytest

from imgclf_dagster.label_studio.install import Installation, LabelStudioNotInstalled, install
from tests import warm_programs
from tests.label_studio.server import LabelStudioServer
from tests.warm_programs.label_studio import environment
from tests.warm_programs.sitecustomize import LABEL_STUDIO, start_server


@pytest.fixture(scope="session")
def label_studio_installation() -> Installation:
    """Label Studio on this machine, installed now if it is not there yet; its servers start warm.

    Skips where that fails: without a network, name a folder in IMGCLF_LABEL_STUDIO_ENV in which
    Label Studio is installed.
    """
    try:
        found = install()
    except LabelStudioNotInstalled as error:
        pytest.skip(f"no Label Studio: {error}")
    folder = os.environ.get(warm_programs.FOLDER)
    if folder is None:
        return found
    socket = f"{folder}/{LABEL_STUDIO}"
    # Here, not by the first program: what ends that with all that it has started would end it, too.
    start_server(socket, str(found.python))
    warm = environment(found.python, found.version, socket)
    return replace(found, python=warm / "bin" / "python")


@pytest.fixture(scope="session")
def _label_studio(
    label_studio_installation: Installation, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LabelStudioServer]:
    server = LabelStudioServer(tmp_path_factory.mktemp("label-studio"), label_studio_installation)
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def label_studio(_label_studio: LabelStudioServer) -> LabelStudioServer:
    """A Label Studio that runs. One for all tests of the session (with xdist, of the worker).

    Give a project a title of your own, and expect others' beside it. A test that stops the server
    need not start it again: the next one that asks for it has it started.
    """
    return _label_studio.start()
