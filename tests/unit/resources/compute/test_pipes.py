"""Pipes over the store: nothing is lost by restarts, refused uploads or a late reader."""

import json
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from dagster_pipes import encode_param
from obstore.exceptions import PermissionDeniedError

import training.container.pipes
from object_store.errors import StoreError, StoreUnavailable, as_store_error
from object_store.store import ObjectStore
from resources.compute.failures import ScriptFailure, script_failure
from resources.compute.local.attempt import _ended_well
from resources.compute.pipes import (
    StoreContextInjector,
    StoreMessageReader,
    is_complete,
    last_message,
    messages_prefix,
)
from tests.patience import wait_for
from training.container.container import ROOT_VARIABLE
from training.container.pipes import MessagesLostError, StoreMessageChannel, open_pipes
from training.errors import PermanentFailure, PermissionDenied

pytestmark = pytest.mark.unit

PREFIX = messages_prefix("job")


class Handler:
    """Stands in for dagster.PipesMessageHandler."""

    def __init__(self) -> None:
        self.handled: list[dict[str, Any]] = []

    def handle_message(self, message: dict[str, Any]) -> None:
        self.handled.append(message)


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    store = ObjectStore(url=tmp_path.as_uri())
    store.ensure()
    return store


def say(channel: StoreMessageChannel, method: str, **params: Any) -> None:
    channel.write_message({"method": method, "params": params})


def read(store: ObjectStore, start_after: str | None = None) -> tuple[StoreMessageReader, Handler]:
    reader, handler = StoreMessageReader(store, "job", start_after), Handler()
    with reader.read_messages(handler):
        pass
    return reader, handler


def test_a_restarted_attempt_neither_overwrites_nor_hides_the_former(store: ObjectStore) -> None:
    first = StoreMessageChannel(store, PREFIX, 0)
    say(first, "opened")
    say(first, "report_custom_message", payload={"epoch": 1})
    say(first, "closed", exception={"name": "Spot", "message": "", "stack": [], "cause": None})
    first.close()
    assert not is_complete(store, "job", None)
    second = StoreMessageChannel(store, PREFIX, 0)
    say(second, "opened")
    say(second, "report_custom_message", payload={"epoch": 2})
    say(second, "report_asset_materialization", metadata={"a": {"raw_value": 1, "type": "int"}})
    say(second, "closed")
    second.close()
    reader, handler = read(store)
    assert reader.messages == [{"epoch": 1}, {"epoch": 2}]
    assert reader.closed
    assert reader.exception is None
    assert reader.metadata == {"a": {"raw_value": 1, "type": "int"}}
    assert [message["method"] for message in handler.handled] == ["opened", "closed"]
    assert is_complete(store, "job", None)


def test_an_attempt_that_goes_on_is_not_closed_by_the_former_one(store: ObjectStore) -> None:
    for method in ("closed", "opened"):
        channel = StoreMessageChannel(store, PREFIX, 0)
        say(channel, method)
        channel.close()
    assert not read(store)[0].closed


def test_a_job_needs_no_right_to_read_the_marker_of_the_store(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The role of jobs may read some folders of the store, and not the marker beside them."""

    def denied(_: ObjectStore) -> None:
        raise StoreError("access denied")

    with monkeypatch.context() as of_the_job:
        of_the_job.setattr(ObjectStore, "require", denied)
        channel = StoreMessageChannel(store, PREFIX, 0)
        say(channel, "opened")
        channel.close()
    assert [message["method"] for message in read(store)[1].handled] == ["opened"]


def test_attempts_are_in_order_though_clocks_are_not(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for now, number in ((2_000_000_000_000, 1), (1_000_000_000_000, 2)):
        monkeypatch.setattr(
            training.container.pipes.time, "time_ns", lambda now=now: now * 1_000_000
        )
        channel = StoreMessageChannel(store, PREFIX, 0)
        say(channel, "report_custom_message", payload=number)
        channel.close()
    assert read(store)[0].messages == [1, 2]


def test_a_reader_can_begin_after_a_launch(store: ObjectStore) -> None:
    assert last_message(store, "job") is None
    for number in (1, 2):
        launched_after = last_message(store, "job")
        channel = StoreMessageChannel(store, PREFIX, 0)
        say(channel, "report_custom_message", payload=number)
        channel.close()
    assert read(store, launched_after)[0].messages == [2]


def test_refused_uploads_are_tried_again(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    create, refused = ObjectStore.create, []

    def sometimes(*args: Any, **kwargs: Any) -> Any:
        if len(refused) < 2:
            refused.append(args)
            raise StoreUnavailable("503 SlowDown")
        return create(*args, **kwargs)

    monkeypatch.setattr(ObjectStore, "create", sometimes)
    channel = StoreMessageChannel(store, PREFIX, 0)
    say(channel, "report_custom_message", payload=1)
    channel.close()
    assert read(store)[0].messages == [1]


def test_lost_messages_fail_the_job(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise StoreError("403")

    monkeypatch.setattr(ObjectStore, "create", never)
    monkeypatch.setattr(training.container.pipes, "CLOSE_TIMEOUT_S", 0.05)
    channel = StoreMessageChannel(store, PREFIX, 0)
    say(channel, "opened")
    with pytest.raises(MessagesLostError, match="403"):
        channel.close()


@pytest.mark.parametrize(
    ("call", "needs"), [("create", "write.*s3:PutObject"), ("own_keys", "list.*s3:ListBucket")]
)
def test_a_job_that_may_not_speak_ends_before_it_computes(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, needs: str
) -> None:
    def denied(*_: Any, **__: Any) -> None:
        refused = PermissionDeniedError("<Code>AccessDenied</Code>\nDebug source: …")
        raise as_store_error(refused, "a", "s3://b", "s3://b/a", act="write")

    class Denied(ObjectStore):
        """What the job sees; Dagster's side is not refused."""

    setattr(Denied, call, denied)

    with (
        StoreContextInjector(store, "job").inject_context(
            {"asset_keys": ["a"], "extras": {}}
        ) as context,
        StoreMessageReader(store, "job", None).read_messages(Handler()) as messages,
    ):
        monkeypatch.setenv("DAGSTER_PIPES_CONTEXT", encode_param(context))
        monkeypatch.setenv("DAGSTER_PIPES_MESSAGES", encode_param(messages))
        monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path / "ml"))
        (tmp_path / "ml" / "input" / "config").mkdir(parents=True)
        (tmp_path / "ml" / "input" / "config" / "hyperparameters.json").write_text("{}")
        monkeypatch.setattr(training.container.pipes, "ObjectStore", Denied)
        computed = False
        with pytest.raises(PermissionDenied, match=needs) as reported, open_pipes():
            computed = True
    assert not computed
    assert isinstance(reported.value, PermanentFailure)
    assert "Debug" not in str(reported.value)
    left = (tmp_path / "ml" / "output" / "failure").read_text()
    assert script_failure(None, left) == ScriptFailure(left, "", permanent=True)


def test_a_permanent_failure_is_reported_in_its_own_words_without_its_class() -> None:
    text = {"message": "PermanentFailure: lower learning_rate", "stack": [], "cause": None}
    failure = script_failure({"name": "PermanentFailure", **text}, "")
    assert failure == ScriptFailure("lower learning_rate", "", permanent=True)
    other = script_failure({"name": "KeyError", **text, "message": "KeyError: 'a'"}, "")
    assert other == ScriptFailure("KeyError: 'a'", "", permanent=False)


def test_what_json_cannot_hold_raises_in_the_caller(store: ObjectStore) -> None:
    channel = StoreMessageChannel(store, PREFIX, 0)
    with pytest.raises(TypeError):
        say(channel, "report_custom_message", payload=object())
    channel.close()


def test_the_whole_way_with_variables_that_fit_a_processing_job(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, handler = StoreMessageReader(store, "job", None), Handler()
    injector = StoreContextInjector(store, "job")
    with (
        injector.inject_context({"asset_keys": ["a"], "extras": {}}) as context,
        reader.read_messages(handler) as messages,
    ):
        monkeypatch.setenv("DAGSTER_PIPES_CONTEXT", encode_param(context))
        monkeypatch.setenv("DAGSTER_PIPES_MESSAGES", encode_param(messages))
        with pytest.raises(ZeroDivisionError), open_pipes() as pipes:  # noqa: PT012 - the block ends the pipe, too
            pipes.log.info("hello")
            raise ZeroDivisionError("no")
    assert [m["params"]["message"] for m in handler.handled if m["method"] == "log"] == ["hello"]
    assert reader.exception is not None
    assert reader.exception["name"] == "ZeroDivisionError"
    bucket = f"s3://{'b' * 30}-{'0123456789ab' * 3}"[: 5 + 63]
    for params, key in (
        (context, f"pipes/{'n' * 63}/context/1"),
        (messages, f"pipes/{'n' * 63}/messages"),
    ):
        assert len(encode_param({**params, "store": bucket, "key": key})) <= 256


def test_without_dagster_messages_go_to_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DAGSTER_PIPES_CONTEXT", raising=False)
    for _ in range(2):
        with open_pipes() as pipes:
            pipes.log.warning("careful")
            pipes.report_asset_materialization(metadata={"accuracy": 0.5})
    assert capsys.readouterr().err.count("WARNING: careful") == 2


def test_messages_are_json_lines(store: ObjectStore) -> None:
    channel = StoreMessageChannel(store, PREFIX, 0)
    say(channel, "log", message="a\nb", level="INFO")
    channel.close()
    key = last_message(store, "job")
    assert key is not None
    assert [json.loads(line)["method"] for line in store.get(key).splitlines()] == ["log"]


def test_a_reader_goes_on_when_the_store_was_silent_for_a_moment(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, listed = [0], type(store).list

    def silent_at_first(self: ObjectStore, *arguments: Any, **options: Any) -> Any:
        asked[0] += 1
        if asked[0] == 1:
            raise StoreError("the store does not answer")
        return listed(self, *arguments, **options)

    monkeypatch.setattr(type(store), "list", silent_at_first)
    reader = StoreMessageReader(store, "job", None, poll_s=0.01)

    def reading() -> bool:
        return any(thread.name == "pipes-reader" for thread in threading.enumerate())

    with reader.read_messages(Handler()):
        wait_for(lambda: asked[0] > 1 or not reading())
        assert asked[0] > 1


def test_a_job_that_left_a_failure_has_not_ended_well(store: ObjectStore) -> None:
    channel = StoreMessageChannel(store, PREFIX, 0.01)
    say(channel, "opened")
    say(channel, "closed")
    channel.close()
    launch: Any = SimpleNamespace(start_after=None)
    for failure, well in (("", True), ("ValueError: no images", False)):
        folder: Any = SimpleNamespace(failure=failure)
        assert _ended_well(store, "job", folder, launch) is well
