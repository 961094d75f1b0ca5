"""The names of settings: which there are, and which one a misspelt name may have meant."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel

PREFIX = "IMGCLF_"
"""Of every variable that is ours."""

DELIMITER = "__"
"""Between a section and a setting in the name of a variable."""

OTHER_VARIABLES = frozenset(
    {
        "IMGCLF_SETTINGS",  # another settings file
        "IMGCLF_LABEL_STUDIO_ENV",  # where Label Studio is installed
        "IMGCLF_FEEDBACK_TOKEN",  # the predictor's, for corrections
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
"""Variables of ours that are no settings."""

OTHER_PREFIXES = ("IMGCLF_TEST_", "IMGCLF_BENCH_", "IMGCLF_STANDIN_")
"""Variables of the tests and the benchmarks."""


def setting_paths(model: type[BaseModel]) -> list[tuple[str, ...]]:
    """List every section and setting of ``model``, as paths such as ``("training", "epochs")``."""
    return list(_paths(model, ()))


def unknown_variables(model: type[BaseModel], environment: Mapping[str, str]) -> list[str]:
    """Say of each ``IMGCLF_*`` variable that sets nothing which one may have been meant.

    Variables of a known section are left out: that they set something is checked with the values.

    Args:
        model: the settings.
        environment: variables by name; their values are not looked at.

    Returns:
        One sentence for each such variable. No value is in it.
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
        # Without what all of them share, which makes any two look alike.
        bare = {known.removeprefix(PREFIX): known for known in variables | OTHER_VARIABLES}
        found.append(f"{name}: no such setting{_nearest(upper.removeprefix(PREFIX), bare)}")
    return found


def unknown_name(model: type[BaseModel], path: tuple[str, ...]) -> str:
    """Say that there is no setting ``path`` and which one may have been meant."""
    known = {".".join(one): ".".join(one) for one in setting_paths(model)}
    return f"no such setting{_nearest('.'.join(path), known)}"


def _paths(model: type[BaseModel], above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for name in model.model_fields:
        yield (*above, name)
        if section := _section(model, name):
            yield from _paths(section, (*above, name))


def _section(model: type[BaseModel], name: str) -> type[BaseModel] | None:
    """The model of the section ``name``; ``None`` if it is a single setting."""
    annotation: Any = model.model_fields[name].annotation
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _variable(path: tuple[str, ...]) -> str:
    return PREFIX + DELIMITER.join(path).upper()


def _nearest(name: str, known: Mapping[str, str]) -> str:
    """Name the one of ``known`` (by what is compared) that is most like ``name``, if one is."""
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return f"; did you mean {known[near[0]]}?" if near else ""
