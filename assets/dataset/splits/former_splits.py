"""Models that were trained and tested before all images were dealt to the splits again."""

import pyarrow as pa
import pyarrow.compute as pc

from assets.dataset.splits.generations import generation_number
from assets.dataset.versions import read_card, read_dataset_manifest
from object_store.contents.damage import DamagedObject
from object_store.errors import KeyMissing
from object_store.store import ObjectStore


def former_test_split(store: ObjectStore, dataset_version: str) -> str:
    """Return the warning about a model that was tested on a former test split; empty if it was not.

    Args:
        store: has the data set and the present groups.
        dataset_version: data set that the model was trained and tested on.
    """
    now = generation_number(store)
    if not now:
        return ""
    try:
        # Cards of earlier versions have no generation: nothing had been dealt again by then.
        if (read_card(store, dataset_version).get("generation") or 0) >= now:
            return ""
        rows = read_dataset_manifest(store, dataset_version)
    except (DamagedObject, KeyMissing) as error:
        return (
            "the images were dealt to the splits again, and it cannot be read whether it was "
            f"tested before or after that: {error}"
        )
    # Imported here: it loads Pillow, which `imgclf status` seldom needs.
    from assets.dataset.splits.splitting import current_groups

    if _test_images(rows) <= _test_images(current_groups(store)):  # they are in test again
        return ""
    return (
        "it was tested on a former test split: the images were dealt to the splits again since. "
        "Its scores cannot be compared with those of models trained afterwards, and it may have "
        "been trained on images of the new test split; imgclf run trains one on the new splits"
    )


def _test_images(rows: pa.Table) -> set[str]:
    return set(rows.filter(pc.equal(rows["split"], "test"))["sha256"].to_pylist())
