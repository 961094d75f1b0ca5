"""Label conflicts: the same image, labelled differently with nothing to say which is right."""

import pyarrow as pa

from labelling.consensus import decide
from labelling.schema import Task


def find_conflicts(labels: pa.Table, task: Task = "single_label") -> pa.Table:
    """The images whose labels contradict each other, sorted by sha256.

    Two ways lead here. Different sets of labels at the very same, latest time: everything one
    ingest says carries that ingest's time, so that is one data set calling byte-identical files by
    different names. And annotators of whom as many say one thing as another. Whoever labels the
    image later, or gives the casting vote, resolves it.

    Args:
        labels: a table in ``labelling.table.LABELS_SCHEMA``.

    Returns:
        In ``labelling.consensus.CONFLICTS_SCHEMA``.
    """
    return decide(labels, task).conflicts
