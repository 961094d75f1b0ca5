"""Names of settings and variables, and suggestions for misspelt ones."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel

PREFIX = "IMGCLF_"
"""Prefix of all our environment variables."""

DELIMITER = "__"
"""Separates section and setting in the name of a variable."""

OTHER_VARIABLES = frozenset(
    {
        "IMGCLF_SETTINGS",  # another settings file
        "IMGCLF_LABEL_STUDIO_ENV",  # where Label Studio is installed
        "IMGCLF_FEEDBACK_TOKEN",  # the predictor's, for corrections
        "IMGCLF_TUNING_STORAGE",  # the database of searches
        "IMGCLF_CODE_HOST",  # the orchestrator's on ECS
        "IMGCLF_RUN_TASK_DEFINITION",
        "IMGCLF_COMPUTE_LOGS_PREFIX",
        "IMGCLF_ML_ROOT",  # a job's or an endpoint's container
        "IMGCLF_RUN_AS",
        "IMGCLF_PROCESSES_PER_HOST",
        "IMGCLF_MASTER_ADDRESS",
        "IMGCLF_MASTER_PORT",
        "IMGCLF_MODEL_VERSION",
        "IMGCLF_DIGEST",
        "IMGCLF_STAGE",
        "IMGCLF_RENEWAL",
        "IMGCLF_DEPLOYMENT",
        "IMGCLF_UPDATE_SNAPSHOTS",  # the tests'
    }
)
"""Our variables that are not settings."""

OTHER_PREFIXES = ("IMGCLF_TEST_", "IMGCLF_BENCH_", "IMGCLF_STANDIN_")
"""Prefixes of variables of the tests and the benchmarks."""


def setting_paths(model: type[BaseModel]) -> list[tuple[str, ...]]:
    """Return every section and setting of ``model``, as paths such as ``("training", "epochs")``."""
    return list(_paths(model, ()))


def unknown_variables(model: type[BaseModel], environment: Mapping[str, str]) -> list[str]:
    """Find ``IMGCLF_*`` variables that set nothing, and suggest the one that may be meant.

    Variables of a known section are left out; they are checked together with the values.

    Args:
        model: the settings.
        environment: variables by name; their values are not used.

    Returns:
        One sentence for each such variable, without its value.
    """
    variables = {_variable(path) for path in setting_paths(model)}
    sections = tuple(
        _variable((name,)) + DELIMITER for name in model.model_fields if _section(model, name)
    )
    found = []
    for name in sorted(environment):
        upper = name.upper()
        if not upper.startswith(PREFIX) or upper in variables | OTHER_VARIABLES:
            continue
        if upper.startswith((*sections, *OTHER_PREFIXES)):
            continue
        # Compared without the common prefix, which makes any two similar.
        bare = {known.removeprefix(PREFIX): known for known in variables | OTHER_VARIABLES}
        found.append(f"{name}: no such setting{_nearest(upper.removeprefix(PREFIX), bare)}")
    return found


def unknown_name(model: type[BaseModel], path: tuple[str, ...]) -> str:
    """Return a sentence that there is no setting ``path``, with the one that may be meant."""
    known = {".".join(one): ".".join(one) for one in setting_paths(model)}
    return f"no such setting{_nearest('.'.join(path), known)}"


def _paths(model: type[BaseModel], above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for name in model.model_fields:
        yield (*above, name)
        if section := _section(model, name):
            yield from _paths(section, (*above, name))


def _section(model: type[BaseModel], name: str) -> type[BaseModel] | None:
    """Return the model of section ``name``; ``None`` if it is a single setting."""
    annotation: Any = model.model_fields[name].annotation
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _variable(path: tuple[str, ...]) -> str:
    return PREFIX + DELIMITER.join(path).upper()


def _nearest(name: str, known: Mapping[str, str]) -> str:
    """Return a suggestion of the most similar name, or "".

    ``known`` has the names to suggest, by the text that is compared with ``name``.
    """
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return f"; did you mean {known[near[0]]}?" if near else ""
