"""``imgclf ingest``: report what a source contains, resolve doubts, and write it into the store."""

import shlex
import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.prompt import IntPrompt, Prompt

from imgclf_dagster.cli.common import current_user, errors, fail, plainly
from imgclf_dagster.cli.ingest.arguments import (
    AsClass,
    Columns,
    DryRun,
    Encoding,
    KeepSplits,
    LabelsFrom,
    Source,
    WholeReportAsJson,
    Yes,
)
from imgclf_dagster.cli.ingest.options import (
    NAME,
    YES,
    parsed_class,
    parsed_columns,
    undecided,
    with_answer,
)
from imgclf_dagster.cli.ingest.summary import as_json as summary_as_json
from imgclf_dagster.cli.ingest.summary import show_doubt, show_facts, show_report
from imgclf_dagster.console import SafeConsole, escape
from labelling.labels.foreign_text import visible
from labelling.labels.given_splits import given_splits_text, no_splits_message
from labelling.sources.doubt import Doubt
from labelling.sources.reading import ReadingOptions

if TYPE_CHECKING:
    from imgclf_dagster.ingest.ingest import IngestReport
    from imgclf_dagster.settings.root import Settings
    from labelling.labels.known_classes import KnownClasses
    from labelling.sources.findings.facts import SourceFacts
    from labelling.sources.reading import Reading

OPEN_QUESTIONS = 3
"""Number of open questions whose text is shown."""


@plainly
def ingest_command(
    source: Source,
    dry_run: DryRun = False,
    yes: Yes = False,
    labels_from: LabelsFrom = None,
    columns: Columns = None,
    encoding: Encoding = None,
    as_class: AsClass = None,
    keep_splits: KeepSplits = False,
    as_json: WholeReportAsJson = False,
) -> None:
    """Show how images and labels are understood, then copy them into the store.

    What is doubtful is asked, on a terminal; elsewhere nothing is written and the options that
    decide are named. Doing it again changes nothing; after an interruption it does what is left.

    Exit codes: 0 done (or, with --dry-run, nothing in doubt); 1 a question is open, or nothing could
    be used; 2 an option is wrong; 130 interrupted.

    \f
    Args:
        source: a folder, an archive, a list of labels or an image.
        dry_run: write nothing.
        yes: accept the default of each question that has one.
        labels_from: the list or the folders with the labels.
        columns: the columns of a table with the images and the labels.
        encoding: of a list of labels.
        as_class: names of folders that are classes or are not.
        keep_splits: record the splits of the source.
        as_json: print JSON.
    """
    from imgclf_dagster.settings.root import load_settings

    settings = load_settings()
    _refuse_own_store(source, settings)
    options = ReadingOptions(
        labels_from,
        parsed_columns(columns),
        encoding,
        parsed_class(as_class),
        settings.labels.task,
    )
    asks = not as_json and not yes and _is_terminal()
    session = _Session(source, settings, yes=yes, keep=keep_splits, as_json=as_json)
    reading = session.decided(options, asks=asks)
    if keep_splits and reading.names and not reading.splits:
        notes = (*reading.warnings, *(group.reason for group in reading.ignored))
        raise typer.BadParameter(no_splits_message(visible(str(source)), map(visible, notes)))
    if dry_run or not reading.names:
        session.say_dry(reading, asked_for=dry_run)
    else:
        session.write(reading)


def _refuse_own_store(source: Path, settings: "Settings") -> None:
    """Refuse a direct sub-folder of this home's store, such as ``raw/``.

    Raises:
        SourceError: ``source`` is one.
    """
    from labelling.sources.containers.containers import SourceError

    # A folder below raw/ is allowed: its images may be labelled again.
    own = settings.store_dir.resolve()
    if source.resolve().parent == own:
        raise SourceError(
            f"{source} is in the store of this home, which has its images already (`imgclf run` "
            "takes in what was copied there); name the folder of the images"
        )


class _Session:
    """One call of the command: its source, settings, options and console."""

    def __init__(
        self, source: Path, settings: "Settings", *, yes: bool, keep: bool, as_json: bool
    ) -> None:
        self._source, self._settings = source, settings
        self._yes, self._keep, self._as_json = yes, keep, as_json
        self._console = SafeConsole(highlight=False)

    def decided(self, options: ReadingOptions, *, asks: bool) -> "Reading":
        """Read the source, print what it contains, and ask the user until no doubt is left.

        Args:
            options: how to read the source, as given on the command line.
            asks: whether the user can be asked; else an open doubt ends the command.

        Returns:
            The reading without open doubts.

        Raises:
            typer.BadParameter: an option is wrong, or has no effect on this source.
            typer.Exit: a doubt stays open; the questions and the options that settle them are
                printed.
        """
        from labelling.sources.containers.containers import OptionError
        from labelling.sources.findings.facts import source_facts
        from labelling.sources.read import read_source

        known, is_first = _known_classes(self._settings), True
        while True:
            try:
                reading = read_source(self._source, options, known=known)
            except OptionError as error:
                raise typer.BadParameter(visible(str(error))) from error
            open_doubts = undecided(reading.doubts, yes=self._yes)
            reading = replace(reading, doubts=tuple(open_doubts))
            self._facts: SourceFacts = source_facts(reading)
            self._splits_text = given_splits_text(
                self._facts.splits,
                keep=self._keep,
                without=self._facts.no_split,
                where=self._facts.no_split_folders,
            )
            if not self._as_json:
                show_facts(self._console, self._facts, self._splits_text)
            if is_first and reading.unused:  # later, an answer may have made an option unused
                raise typer.BadParameter(visible("; ".join(reading.unused)))
            is_first = False
            if not open_doubts:
                return reading
            if not asks:
                raise self._stopped(open_doubts)
            answer = self._asked(open_doubts[0])
            self._yes = self._yes or answer == YES
            options = options if answer == YES else with_answer(options, answer)

    def _asked(self, doubt: Doubt) -> str:
        """Ask the user about ``doubt`` and return the chosen option (``--labels-from parent``).

        Raises:
            typer.Exit: the user stops, or stdin has ended.
        """
        show_doubt(self._console, doubt, numbered=True)
        last = len(doubt.answers) + 1
        try:
            choices = [str(number) for number in range(1, last + 1)]
            number = IntPrompt.ask("Your choice", choices=choices, console=self._console)
            if number == last:
                raise fail("nothing was written")
            option = doubt.answers[number - 1][0]
            name = ""
            while NAME in option.split() and not name:
                name = Prompt.ask("The name of the class", console=self._console).strip()
        except EOFError:
            raise fail("nothing was written") from None
        return option.replace(NAME, shlex.quote(name)) if name else option

    def _stopped(self, doubts: Sequence[Doubt]) -> typer.Exit:
        if self._as_json:
            typer.echo(summary_as_json(self._facts, self._splits_text, None, ""))
        else:
            for doubt in doubts[:OPEN_QUESTIONS]:
                show_doubt(errors, doubt, numbered=False)
            _say_where_settings_are(doubts)
        options = " or ".join(dict.fromkeys(o for doubt in doubts for o, _ in doubt.answers))
        return fail(f"nothing was written, because a question is open; give {options}")

    def say_dry(self, reading: "Reading", *, asked_for: bool) -> None:
        """Report a call that writes nothing.

        Args:
            reading: what was read from the source.
            asked_for: whether ``--dry-run`` was given.

        Raises:
            typer.Exit: the source has no usable image.
        """
        if self._as_json:
            typer.echo(summary_as_json(self._facts, self._splits_text, None, ""))
        elif asked_for:
            self._console.print("nothing was written (--dry-run)")
        if not reading.names:
            raise fail(f"nothing in {visible(str(self._source))} could be used")

    def write(self, reading: "Reading") -> None:
        """Write the reading into the store and print the report.

        Raises:
            typer.Exit: no image could be used.
        """
        from imgclf_dagster.home.home import prepare_home
        from imgclf_dagster.ingest.ingest import ingest, only_ingest
        from imgclf_dagster.processes.presence import is_up

        # Pillow warns about EXIF blocks, which do not matter here; the report names unusable images.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        settings = self._settings
        store = prepare_home(settings)
        with only_ingest(settings.run_dir, errors.print), _progress(errors) as progress:
            task = progress.add_task("ingesting", total=None)
            report = ingest(
                reading,
                store=store,
                policy=settings.ingestion,
                schema=settings.labels,
                annotator=current_user(),
                keep_splits=self._keep,
                on_progress=lambda done, total: progress.update(task, completed=done, total=total),
            )
        following = _next_command(report, up=is_up(settings.run_dir))
        if self._as_json:
            typer.echo(summary_as_json(self._facts, self._splits_text, report, following))
        else:
            shown = {group.reason for group in self._facts.refused}
            show_report(self._console, report, following, reading.stem, shown)
        if report.new + report.known == 0:
            raise fail(f"nothing in {visible(str(self._source))} could be used")


def _say_where_settings_are(doubts: Sequence[Doubt]) -> None:
    """Name the settings file, if a doubt sends the user to one that does not exist yet."""
    from imgclf_dagster.settings.root import settings_file

    path = settings_file()
    if not path.exists() and any(path.name in doubt.question for doubt in doubts):
        errors.print(f"There is no {path.name} yet; it is read from {escape(str(path))}")


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _known_classes(settings: "Settings") -> "KnownClasses":
    """Return the classes of the settings, and of the store if the home exists already."""
    from assets.annotations.label_names import LabelNames, known_classes
    from imgclf_dagster.home.home import is_prepared, require_store

    if is_prepared(settings):
        return known_classes(require_store(settings), settings.labels)
    return LabelNames(settings.labels, settings.labels).known(())


def _next_command(report: "IngestReport", *, up: bool) -> str:
    if report.classes or report.negatives:
        return "nothing: imgclf up is running and takes them in" if up else "imgclf run"
    if up:
        return (
            "label them in Label Studio; if imgclf up runs without it, stop that and start "
            "imgclf up --label-studio"
        )
    return "imgclf up --label-studio (to label them)"


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
