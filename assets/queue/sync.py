"""Imports the ledger's batches into Label Studio and updates the tasks that are there."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from assets.policies import LabellingPolicy
from assets.queue.build import Situation, choose_batch, predictions, ranked_again
from assets.queue.ledger import (
    QueueBatch,
    QueuedImage,
    confirm,
    queued_images,
    unfinished,
    write_batch,
)
from assets.queue.shown_version import shown_since
from labelling.label_studio.image_urls import image_url
from labelling.labels.schema import LabelSchema
from labelling.report import words
from object_store.store import ObjectStore
from resources.label_studio.client import LabelStudioClient
from resources.label_studio.types import (
    LabelStudioError,
    LabelStudioRefused,
    NewTask,
    Prelabel,
    Project,
    TaskRef,
)


@dataclass
class Synced:
    """What was done.

    Attributes:
        batch: the new batch; ``None`` if nothing was added.
        situation: with Label Studio's tasks in it, before the batch was added.
        project: its state afterwards; ``None`` without Label Studio.
        finished: interrupted batches of earlier runs that were completed.
        new: number of tasks that were created.
        known: number of tasks that existed already.
        withdrawn: number of tasks withdrawn because their images need no label any more.
        prelabelled: number of predictions that were added to open tasks.
        shown: model version whose predictions annotators see.
        open: number of open tasks now.
        reviews: image (sha256) to the reason of its doubt, of images in doubt that have a finished
            task.
        review_link: page of these tasks.
        problems: warnings; none of them stopped the run.
    """

    batch: QueueBatch | None = None
    situation: Situation | None = None
    project: Project | None = None
    finished: list[str] = field(default_factory=list)
    new: int = 0
    known: int = 0
    withdrawn: int = 0
    prelabelled: int = 0
    shown: str = ""
    open: int = 0
    reviews: dict[str, str] = field(default_factory=dict)
    review_link: str = ""
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class QueueSync:
    """One pass: complete interrupted batches, withdraw, add, predict, review.

    Every step is idempotent.
    """

    store: ObjectStore
    label_studio: LabelStudioClient
    policy: LabellingPolicy
    schema: LabelSchema
    say: Callable[[str], object]

    def run(self, situation: Situation) -> Synced:
        """Bring Label Studio's queue up to date with ``situation``.

        Raises:
            LabelStudioError: the server or the project cannot be used; the chosen batch is in the
                ledger, and the next run imports it.
        """
        # Looked up by its title once: not at each of ten steps, nor in two projects if another gets
        # the title meanwhile.
        project = self.label_studio.project.read()
        same_project = self.label_studio.to_project(project.id)
        return replace(self, label_studio=same_project)._run(situation, project)

    def _run(self, situation: Situation, project: Project) -> Synced:
        done = Synced()
        for batch in unfinished(self.store, self.say):
            self.say(f"batch {batch.batch} of {batch.created_at:%Y-%m-%d %H:%M} was cut short")
            self._import(batch, project, done)
            done.finished.append(batch.batch)
        self.label_studio.withdrawals.tend()  # somebody may have worked on a withdrawn task
        tasks = self._tasks()
        done.withdrawn = self._withdraw(situation, tasks)
        situation = with_tasks(situation, self._tasks_left(tasks, done.withdrawn))
        done.situation = situation
        done.batch = choose_batch(self.store, situation, self.policy, self.schema)
        if done.batch is not None:
            write_batch(self.store, done.batch)
            self._import(done.batch, project, done)
        done.open = len(situation.open) + (len(done.batch.images) if done.batch else 0)
        self._predict(situation, done, project)
        self._review(situation, done)
        done.project = self.label_studio.project.read()
        return done

    # --- tasks -----------------------------------------------------------------------------

    def _tasks(self) -> list[TaskRef]:
        """List all tasks and remove duplicates of an image: concurrent runs may have created them."""
        studio = self.label_studio
        tasks = studio.tasks.list_refs()
        counts = Counter(task.sample_id for task in tasks)
        several = [image for image, count in counts.items() if count > 1]
        if not several or not studio.imports.withdraw_duplicates(several):
            return tasks
        self.say(
            f"{words.count(len(several), 'image')} had several tasks; one task for each is kept, or those in "
            "progress"
        )
        return studio.tasks.list_refs()

    def _import(self, batch: QueueBatch, project: Project, done: Synced) -> None:
        total, imported = len(batch.images), 0

        def progress(more: int) -> None:
            nonlocal imported
            imported += more
            self.say(f"batch {batch.batch}: {imported} of {total} tasks")

        tasks = self._new_tasks(batch, project, done)
        result = self.label_studio.imports.import_missing(tasks, progress=progress)
        done.new, done.known = done.new + result.new, done.known + result.known
        confirm(self.store, batch)

    def _new_tasks(self, batch: QueueBatch, project: Project, done: Synced) -> Iterator[NewTask]:
        for image in batch.images:
            try:
                url = image_url(self.store.url, image.key)
            except ValueError as error:
                done.problems.append(str(error))
                continue
            yield NewTask(
                sample_id=image.sha256,
                image=url,
                uri=self.store.uri(image.key) if self.store.is_bucket else image.key,
                why=image.why,
                batch=batch.batch,
                reasons=image.reasons,
                suggested=image.suggested,
                prediction=fitting(_prelabel(image, batch.model_version), project),
            )

    def _withdraw(self, situation: Situation, tasks: Sequence[TaskRef]) -> int:
        """Withdraw untouched tasks of images that are labelled or gone, and not in doubt."""
        doubts = situation.doubts
        settled = [
            task.sample_id
            for task in tasks
            if not task.is_labeled
            and not task.annotations
            and (
                task.sample_id in situation.view.labels
                or task.sample_id not in situation.images.keys
            )
            and task.sample_id not in doubts.conflicts
            and task.sample_id not in doubts.corrections
        ]
        return self.label_studio.withdrawals.withdraw(settled) if settled else 0

    def _tasks_left(self, tasks: list[TaskRef], withdrawn: int) -> list[TaskRef]:
        return self.label_studio.tasks.list_refs() if withdrawn else tasks

    # --- predictions -----------------------------------------------------------------------

    def _predict(self, situation: Situation, done: Synced, project: Project) -> None:
        """Add the present model's predictions to all open tasks and order the tasks by its priorities."""
        model, done.shown = situation.opinions.first, project.model_version
        images = sorted(situation.open)
        if model is None:
            return
        fresh = bool(done.batch and done.batch.model_version == model.model_version)
        # Also if the project shows the model already: tasks may be older than the model.
        if images and (prelabels := self._prelabels(situation, images, project)):
            done.prelabelled = self.label_studio.predictions.add(prelabels)
            fresh = True
        if fresh and project.model_version != model.model_version:
            self._show(model.model_version, done)
        if done.shown == model.model_version:
            self._follow_up(model.model_version, done, project)

    def _show(self, version: str, done: Synced) -> None:
        try:
            self.label_studio.predictions.show_version(version)
        except LabelStudioRefused as error:  # no open task is left: the next batch shows it
            done.problems.append(str(error))
            return
        done.shown = version

    def _follow_up(self, version: str, done: Synced, project: Project) -> None:
        """Update the backend's title and delete superseded pre-labels, once ``version`` is shown."""
        self._retitle(version, done)
        since = shown_since(self.store, project.id, version)
        dropped = self.label_studio.predictions.drop_superseded(version, since)
        if dropped:
            self.say(f"{dropped} pre-labels of former models were deleted")

    def _prelabels(
        self, situation: Situation, images: Sequence[str], project: Project
    ) -> dict[str, Prelabel]:
        model = situation.opinions.first
        assert model is not None
        predicted = predictions(self.store, model, images, situation.view.aliases)
        queued = queued_images(self.store, images)
        places = ranked_again(self.store, situation, queued, self.policy, self.schema)
        found = {}
        for sha, prediction in predicted.items():
            prelabel = Prelabel(
                model_version=model.model_version,
                labels=prediction.labels,
                probabilities=prediction.probabilities,
                priority=places.get(sha, 0.5),
            )
            fits = fitting(prelabel, project)
            if fits is not None:
                found[sha] = fits
        return found

    def _retitle(self, version: str, done: Synced) -> None:
        try:
            self.label_studio.integrations.retitle_backend(version)
        except LabelStudioError as error:  # imgclf doctor reports a backend that is down
            done.problems.append(f"the ML backend keeps its former title: {error}")

    # --- doubts ----------------------------------------------------------------------------

    def _review(self, situation: Situation, done: Synced) -> None:
        done.reviews = situation.doubts.of(situation.done)
        done.review_link = self.label_studio.reviews.show(done.reviews)


def with_tasks(situation: Situation, tasks: Sequence[TaskRef]) -> Situation:
    """Return ``situation`` with the state of Label Studio's tasks.

    A task that was skipped, or that waits for further annotators, counts as done.
    """
    done = {task.sample_id for task in tasks if task.is_labeled or task.annotations}
    waiting = {task.sample_id for task in tasks} - done
    skipped = waiting & set(situation.skipped)
    return replace(situation, open=frozenset(waiting - skipped), done=frozenset(done | skipped))


def fitting(prelabel: Prelabel | None, project: Project) -> Prelabel | None:
    """Return ``prelabel`` with probabilities of the project's labels only.

    Returns:
        ``None`` if the project lacks one of its labels, or there is no ``prelabel``.
    """
    if prelabel is None or not set(prelabel.labels) <= set(project.labels):
        return None
    known: Mapping[str, float] = {
        label: p for label, p in prelabel.probabilities.items() if label in project.labels
    }
    return replace(prelabel, probabilities=dict(known))


def _prelabel(image: QueuedImage, model_version: str) -> Prelabel | None:
    if not image.labels or not model_version:
        return None
    return Prelabel(model_version, image.labels, image.probabilities, image.priority)
