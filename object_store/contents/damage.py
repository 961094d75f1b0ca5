"""Damaged objects: the error, and the remedy by the object's key."""

import re

from object_store.errors import StoreError

RERUN = "`imgclf doctor --store --repair` moves it aside, and `imgclf run` makes it again"
REBUILD = "`imgclf doctor --store --repair` builds it again"
_THEN_ASIDE = "then `imgclf doctor --store --repair` moves the damaged one aside"
OVERTAKEN = "a newer one has taken its place: `imgclf doctor --store --repair` moves it aside"
"""Remedy for a damaged record that is not the newest of its folder."""

_REMEDIES = (
    (r"raw/", f"{REBUILD} if a data set holds the image; else ingest the image again"),
    (
        r"annotations/events/",
        "it is ignored: `imgclf doctor --store --repair` writes it again if the label table "
        "knows it; else decide again (`imgclf labels`), then delete it",
    ),
    (
        r"annotations/",
        "it is ignored: ingest its source again or label the image again, then delete it",
    ),
    (r"tables/groups/", f"{REBUILD} from the data sets, whose splits it keeps"),
    (r"tables/|embeddings/|predictions/", f"{REBUILD}; so does `imgclf run`"),
    (r"splits/given/", "restore it from a backup, or ingest its source with --keep-splits again"),
    (
        r"splits/",
        "`imgclf doctor --store --repair` writes it again from the newest data set, if there is "
        "one of its splits; else restore it from a backup, or `imgclf splits deal-again`, "
        f"{_THEN_ASIDE}",
    ),
    (
        r"datasets/[^/]+/sources/",
        f"make the data set again (`imgclf run`), which writes a new one; {_THEN_ASIDE}",
    ),
    (r"datasets/", f"{REBUILD} from raw/ and the tables; `imgclf run` makes the newest again"),
    (
        r"materializations/",
        f"materialize its asset again (`imgclf run`), which writes a new one; {_THEN_ASIDE}",
    ),
    (
        r"checks/",
        f"make this check again (`imgclf run`, or its button in Dagster); {_THEN_ASIDE}",
    ),
    (
        r"models/[^/]+/evaluations/",
        f"evaluate the model again (`imgclf run`); {_THEN_ASIDE}",
    ),
    (
        r"models/[^/]+/output/model\.tar\.gz",
        "restore it from a backup; a model that no stage serves is moved aside by `imgclf doctor "
        "--store --repair`, and `imgclf run` trains it again; one that serves: `imgclf "
        "rollback`, or approve another, first",
    ),
    (
        r"models/[^/]+/output/",
        "restore it from a backup; if no stage serves the model, `imgclf doctor --store --repair` "
        "moves it aside, and `imgclf run` trains it again",
    ),
    (r"models/", RERUN),
    (
        r"endpoints/",
        "no older one is used instead: approve a model again (`imgclf approve`) or return to "
        f"the one before (`imgclf rollback`), which writes a new record; {_THEN_ASIDE}",
    ),
    (r"queue/|reports/", RERUN),
    (r"corrections/", "it is ignored: correct the image again in the predictor, then delete it"),
    (r"pipes/", "it is of a job's messages; run the job again (`imgclf run`) and delete it"),
    (r"inspections/", "delete it; the next run reads its images"),
    (r"arrivals/|label-arrivals/", "delete it; the next listing finds its object"),
    (r"captures/", "`imgclf doctor --store --repair` moves it aside; nothing reads it again"),
    (
        r"registry/",
        "restore it from a backup; without one, delete it: its model is no longer listed, and the "
        "next candidate is registered",
    ),
    (r"deployments/", "delete it; the next deployment writes its own"),
    (r"\.imgclf-store\.json$", "`imgclf doctor --store --repair` writes it again"),
)
_UNKNOWN = "restore it from a backup; if imgclf did not write it, move it out of the store"


class DamagedObject(StoreError):
    """An object's bytes are not valid: empty, truncated or changed. The message names the remedy.

    Attributes:
        key: of the object.
        flaw: what is wrong with it, in one line.
        remedy: what a person can do about it.
    """

    def __init__(self, key: str, flaw: str, store: str, remedy: str = "") -> None:
        super().__init__(f"{key} in {store} is damaged ({flaw})", remedy or remedy_for(key))
        self.key, self.flaw = key, flaw


def remedy_for(key: str) -> str:
    """Return the remedy for a damaged object by its key."""
    return next((remedy for begin, remedy in _REMEDIES if re.match(begin, key)), _UNKNOWN)


def flaw_of(data: bytes, error: object = "") -> str:
    """Describe in one line what is wrong with an object's bytes.

    Args:
        data: the bytes.
        error: of the parser.
    """
    if not data:
        return "it is empty"
    if not data.strip(b"\0"):
        return f"its {len(data):,} bytes are all zero"
    first = str(error).strip().partition("\n")[0][:200]
    return f"its {len(data):,} bytes cannot be understood: {first or type(error).__name__}"
