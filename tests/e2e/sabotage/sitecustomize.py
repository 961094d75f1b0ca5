"""Lets a test kill a program at a named point. Python imports this file at start, if its folder is
on PYTHONPATH; it is handed on to every program that the sabotaged one starts. A program that runs in
a copy of a warm process (``tests.warm_programs``) is tampered with in the copy, before it begins.

``IMGCLF_TEST_SABOTAGE`` is a JSON list of actions: ``target`` (``module:Class.method`` or
``module:NAME``), ``when`` (before, after), ``nth`` call that counts, ``match`` (a text that the
call's arguments must contain), and ``do``, a list of steps:

- ``["kill", "self" | "parent"]``: SIGKILL; the parent of a job is ``imgclf``.
- ``["touch", path]`` and ``["await", path]``: how two processes agree on an order.
- ``["sleep", seconds]``: let threads write what they have.
- ``["set", value]``: give the module's NAME this value.
"""

import functools
import importlib.abc
import importlib.util
import json
import os
import signal
import sys
import time
from pathlib import Path

PATIENCE_S = 600 * float(os.environ.get("PYTEST_SLOWNESS", "1"))


def act(steps):
    for verb, what in steps:
        if verb == "kill":
            os.kill(os.getppid() if what == "parent" else os.getpid(), signal.SIGKILL)
        elif verb == "touch":
            Path(what).touch()
        elif verb == "sleep":
            time.sleep(what)
        elif verb == "await":
            deadline = time.monotonic() + PATIENCE_S
            while not Path(what).exists() and time.monotonic() < deadline:
                time.sleep(0.05)


def sabotaged(function, action):
    calls = 0

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        nonlocal calls
        counts = action.get("match", "") in f"{args} {kwargs}"
        calls += counts
        due = counts and calls == action.get("nth", 1)
        if due and action.get("when") == "before":
            act(action["do"])
        result = function(*args, **kwargs)
        if due and action.get("when") != "before":
            act(action["do"])
        return result

    return wrapped


def tamper(module, actions):
    for action in actions:
        owner = module
        *path, name = action["target"].partition(":")[2].split(".")
        for part in path:
            owner = getattr(owner, part)
        if action["do"][0][0] == "set":
            setattr(owner, name, action["do"][0][1])
        else:
            replace(owner, name, sabotaged(getattr(owner, name), action))


def replace(owner, name, function):
    """Give ``owner`` another function, and whoever has imported the former one from it."""
    former = getattr(owner, name)
    setattr(owner, name, function)
    for module in list(sys.modules.values()):
        if getattr(module, "__dict__", {}).get(name) is former:
            setattr(module, name, function)


class Finder(importlib.abc.MetaPathFinder):
    """Tampers with a module as soon as it is executed, before anybody can import from it; at once
    with what is imported already."""

    def __init__(self, actions):
        self.actions = {}
        for action in actions:
            self.actions.setdefault(action["target"].partition(":")[0], []).append(action)
        for name in self.actions.keys() & sys.modules.keys():
            tamper(sys.modules[name], self.actions.pop(name))

    def find_spec(self, name, path=None, target=None):
        actions = self.actions.pop(name, None)  # and not again, or this would never end
        if actions is None:
            return None
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            tamper(module, actions)

        spec.loader.exec_module = exec_module
        return spec


def run_in_a_copy():
    """Have the client of the warm programs, whose file has this one's name, hand this one over; go
    on here if it runs cold."""
    for folder in os.environ["PYTHONPATH"].split(os.pathsep):
        path = Path(folder, "sitecustomize.py")
        if path.exists() and not path.samefile(__file__):
            spec = importlib.util.spec_from_file_location("sitecustomize_of_tests", path)
            spec.loader.exec_module(importlib.util.module_from_spec(spec))


if "IMGCLF_TEST_SABOTAGE" in os.environ:
    if __name__ == "sitecustomize":  # else this is the copy
        run_in_a_copy()
    sys.meta_path.insert(0, Finder(json.loads(os.environ["IMGCLF_TEST_SABOTAGE"])))
