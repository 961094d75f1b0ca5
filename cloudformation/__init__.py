"""The CloudFormation templates that put the line on AWS, and what belongs to them.

``foundation.yaml`` comes first; ``endpoint.yaml`` (with ``stages/*.json``), ``edge.yaml``,
``orchestrator.yaml`` and ``cicd.yaml`` build on it. They are found through ``importlib.resources``,
so that they are there wherever the product is installed.
"""

from importlib.resources import files


def template(name: str) -> str:
    """The text of a file of this folder.

    Args:
        name: such as ``foundation.yaml`` or ``stages/prod.json``.

    Raises:
        FileNotFoundError: there is none of that name; those that are there are named.
    """
    folder = files(__name__)
    if ".." in name.split("/") or not (file := folder.joinpath(name)).is_file():
        known = sorted(item.name for item in folder.iterdir() if item.name.endswith(".yaml"))
        raise FileNotFoundError(f"no file cloudformation/{name}; templates: {', '.join(known)}")
    return file.read_text(encoding="utf-8")
