"""The labels' loop on Label Studio's own page: pre-labels are corrected by clicking, as a person does."""

import io
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from imgclf_dagster.label_studio.server import USERNAME
from object_store.store import ObjectStore
from tests.e2e.up_program import Up
from tests.patience import WAIT_S, wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

UNLABELLED = 24

PRE_LABEL = ".lsf-choice__checkbox.ant-checkbox-wrapper-checked"
TASK = ".lsf-current-task__task-id"


def corrections_make_the_next_model(
    up: Up, imgclf: Any, browser: "Browser", report: Callable[[], object]
) -> None:
    """Bring images without labels to a line with a model, correct three pre-labels by clicking, and
    wait until they are in the data set and have made a model.

    Args:
        up: with ``--label-studio``.
        imgclf: of its home.
        browser: for Label Studio's page.
        report: what to say of the programs when a step never comes.
    """
    models_before = len(models(imgclf))
    assert models_before
    bring_unlabelled(imgclf.store)
    server = Studio(up)
    wait_for(server.tasks, report)
    page = server.opened(browser)
    before = newest_dataset(imgclf)
    corrected = dict(correct_one(page, server) for _ in range(3))
    page.close()

    def known() -> bool:
        labels = newest_dataset(imgclf)
        return all(labels.get(sample) == given for sample, given in corrected.items())

    wait_for(known, lambda: f"{report()}\n{corrected}")
    assert not set(corrected) & set(before)
    wait_for(lambda: len(models(imgclf)) > models_before, report)
    answer = httpx.get(up.url("labelling"), timeout=WAIT_S)
    assert answer.status_code == 200


def bring_unlabelled(store: ObjectStore) -> None:
    """Images of two colours each, so that a model is unsure of them."""
    rng = np.random.default_rng(1)
    for index in range(UNLABELLED):
        pixels = rng.integers(0, 90, (24, 24, 3), dtype=np.uint8)
        pixels[:, :12, index % 3] += 120
        pixels[:, 12:, (index + 1) % 3] += 110
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "png")
        store.create(f"raw/stream/{index:03d}.png", file.getvalue())


def correct_one(page: "Page", server: "Studio") -> tuple[str, list[str]]:
    """Correct the pre-label of the task that the page shows, and wait for the next task.

    Returns:
        The image and its labels, in order, as Label Studio took them.
    """
    page.wait_for_selector(PRE_LABEL)
    page.wait_for_function("[...document.images].some(image => image.naturalWidth === 24)")
    shown = [text.split("[")[0].strip() for text in page.locator(PRE_LABEL).all_inner_texts()]
    wanted = next(label for label in ("red", "green", "blue") if label not in shown)
    number = page.inner_text(TASK)
    page.click(f".lsf-choice__checkbox:has-text('{wanted}')")
    with page.expect_response(
        lambda answer: "/annotations" in answer.url and answer.request.method == "POST"
    ) as posted:
        page.click("button[aria-label='Submit current annotation']")
    page.wait_for_function(
        f"before => document.querySelector('{TASK}')?.innerText !== before", arg=number
    )
    saved = json.loads(posted.value.text())
    (choice,) = saved["result"]
    labels = sorted(choice["value"]["choices"])
    assert wanted in labels
    assert labels != sorted(shown)
    return server.sample_of(saved["task"]), labels


class Studio:
    """The Label Studio that ``imgclf up`` runs."""

    def __init__(self, up: Up) -> None:
        self.up, self.url = up, up.url("label_studio")
        folder = up.home / "label-studio"
        token = (folder / "server-token").read_text().strip()
        self.password = (folder / "password").read_text().strip()
        self.http = httpx.Client(
            base_url=self.url, headers={"Authorization": f"Token {token}"}, timeout=WAIT_S
        )

    def project(self) -> dict[str, Any] | None:
        found = self.http.get("/api/projects/").json()["results"]
        return found[0] if found else None

    def tasks(self) -> list[dict[str, Any]]:
        """Every task with a pre-label that is shown."""
        project = self.project()
        if project is None:
            return []
        query = {"project": project["id"], "fields": "all", "page_size": 100}
        answer = self.http.get("/api/tasks/", params=query)
        found = answer.json()["tasks"] if answer.status_code == 200 else []
        version = self.http.get(f"/api/projects/{project['id']}/").json()["model_version"]
        return [
            task
            for task in found
            if any(text["model_version"] == version for text in task["predictions"])
        ]

    def sample_of(self, task: int) -> str:
        return str(self.http.get(f"/api/tasks/{task}/").json()["data"]["sample_id"])

    def opened(self, browser: "Browser") -> "Page":
        """The label stream of the project, after a person has logged in."""
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.goto(f"{self.url}/user/login/")
        page.fill("input[name=email]", USERNAME)
        page.fill("input[name=password]", self.password)
        page.click("button[type=submit]")
        page.wait_for_load_state()
        project = self.project()
        assert project is not None
        page.goto(f"{self.url}/projects/{project['id']}/data")
        page.click("button:has-text('Label All Tasks')")
        return page


def models(imgclf: Any) -> list[str]:
    """Training jobs that are done."""
    keys = [info.key for info in imgclf.store.list("models/")]
    done = {key.split("/")[1] for key in keys if key.endswith("job.json")}
    return sorted(name for name in done if name.startswith("train-"))


def newest_dataset(imgclf: Any) -> dict[str, list[str]]:
    """Image to labels, in the data set that was written last."""
    cards = [info for info in imgclf.store.list("datasets/") if info.key.endswith("card.json")]
    if not cards:
        return {}
    newest = max(cards, key=lambda info: info.last_modified)
    manifest = imgclf.store.get(newest.key.replace("card.json", "manifest.parquet"))
    rows = pq.read_table(io.BytesIO(manifest), columns=["sha256", "labels"]).to_pylist()
    return {row["sha256"]: row["labels"] for row in rows}
