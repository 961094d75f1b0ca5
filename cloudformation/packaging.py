"""Copies the code of a Lambda function into the template that deploys it.

``python -m cloudformation.packaging`` updates ``edge.yaml``; with ``--check`` it writes nothing and
exits with 1 if an update is needed. With the code in the template, ``aws cloudformation deploy``
needs no bucket and no build step, cfn-lint checks what is deployed, and a change of the code is a
change of the template.
"""

import re
import sys
from pathlib import Path

FOLDER = Path(__file__).parent

TEMPLATE_BODY_LIMIT = 51_200
"""Limit of a template's text in CreateStack and CreateChangeSet (bytes)
(https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html)."""

_BLOCK = re.compile(
    r"^(?P<indent> +)# BEGIN (?P<file>\S+)\n.*?^(?P=indent)# END (?P=file)\n",
    re.MULTILINE | re.DOTALL,
)


def render(template: str) -> str:
    """The text of a template with each marked block replaced by the file that it names.

    Args:
        template: a file beside this one, such as ``edge.yaml``.

    Raises:
        ValueError: there is no such block, or the whole is too long for CloudFormation.
    """
    text = (FOLDER / template).read_text(encoding="utf-8")
    rendered, count = _BLOCK.subn(_filled, text)
    if not count:
        raise ValueError(f"{template} has no block '# BEGIN <file>' … '# END <file>' to fill")
    size = len(rendered.encode())
    if size > TEMPLATE_BODY_LIMIT:
        raise ValueError(f"{template} would have {size} bytes; at most {TEMPLATE_BODY_LIMIT}")
    return rendered


def main(arguments: list[str]) -> int:
    """Write ``edge.yaml``, or with ``--check`` only compare. Returns the exit code."""
    path = FOLDER / "edge.yaml"
    rendered = render(path.name)
    current = rendered == path.read_text(encoding="utf-8")
    if "--check" in arguments:
        if not current:
            print(f"{path} holds another handler; run: python -m cloudformation.packaging")
        return 0 if current else 1
    path.write_text(rendered, encoding="utf-8")
    print(f"{path}: {'unchanged' if current else 'brought up to date'}")
    return 0


def _filled(block: re.Match[str]) -> str:
    indent, file = block["indent"], block["file"]
    # CloudFormation shows, and in places stores, anything but ASCII as question marks.
    source = (FOLDER / file).read_text(encoding="ascii")
    lines = [indent + line if line.strip() else "" for line in source.splitlines()]
    return "\n".join([f"{indent}# BEGIN {file}", *lines, f"{indent}# END {file}", ""])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
