"""Sending again what a server lacks after a failure, and nothing else."""

from dataclasses import dataclass, field

import pytest

from resources.label_studio.resending import send_until_stored
from resources.label_studio.types import LabelStudioDown

pytestmark = pytest.mark.unit

WAITS = (1.0, 2.0, 4.0)


@dataclass
class Server:
    """Stores what is sent, in the way that ``answers`` say, the last for ever.

    Attributes:
        answers: ``stored``, ``unsaid`` (stored, but the answer does not say so), ``lost`` (stored,
            and the answer is lost), ``down`` (not stored), ``drops`` (answered and not stored).
        down_at_lookup: the look-up that fails, counted from 1.
    """

    answers: list[str]
    wanted: list[str] = field(default_factory=lambda: ["a", "b"])
    down_at_lookup: int = 0
    stored: set[str] = field(default_factory=set)
    sent: list[list[str]] = field(default_factory=list)
    lookups: int = 0

    def send(self, items: list[str]) -> bool:
        self.sent.append(items)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer not in ("down", "drops"):
            self.stored.update(items)
        if answer in ("down", "lost"):
            raise LabelStudioDown(answer)
        return answer == "stored"

    def find_missing(self) -> list[str]:
        self.lookups += 1
        if self.lookups == self.down_at_lookup:
            raise LabelStudioDown("down at the look-up")
        return [item for item in self.wanted if item not in self.stored]


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were waited for."""
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    return waited


def ask(server: Server, waits: tuple[float, ...] = WAITS) -> list[str] | None:
    return send_until_stored(server.wanted, server.send, server.find_missing, waits)


def slept(waits: list[float]) -> list[float]:
    return [wait for wait in waits if wait]


def test_an_answer_that_says_all_is_stored_needs_no_look_up(waits: list[float]) -> None:
    server = Server(["stored"])
    assert ask(server) is None
    assert (server.sent, server.lookups) == ([["a", "b"]], 0)


def test_an_answer_that_says_nothing_is_looked_into(waits: list[float]) -> None:
    server = Server(["unsaid"])
    assert ask(server) is None
    assert (len(server.sent), server.lookups, slept(waits)) == (1, 1, [])


def test_what_was_stored_although_the_answer_was_lost_is_not_sent_again(waits: list[float]) -> None:
    server = Server(["lost"])
    assert ask(server) is None
    assert (len(server.sent), server.lookups, slept(waits)) == (1, 1, [1.0])


def test_after_a_failure_an_answer_is_not_trusted(waits: list[float]) -> None:
    server = Server(["down", "stored"])
    assert ask(server) is None
    assert (len(server.sent), server.lookups) == (2, 2)


def test_only_what_is_missing_is_sent_again(waits: list[float]) -> None:
    server = Server(["down", "unsaid"])
    server.stored = {"a"}  # the failed request stored a part
    assert ask(server) is None
    assert server.sent == [["a", "b"], ["b"]]


def test_a_server_that_stays_down_is_given_up(waits: list[float]) -> None:
    server = Server(["down"])
    with pytest.raises(LabelStudioDown, match="down") as down:
        ask(server)
    assert (len(server.sent), slept(waits)) == (4, list(WAITS))
    assert down.value.__cause__ is None  # the error of the request itself


def test_a_look_up_that_fails_is_not_repeated(waits: list[float]) -> None:
    server = Server(["down"], down_at_lookup=1)
    with pytest.raises(LabelStudioDown, match="at the look-up"):
        ask(server)
    assert (len(server.sent), slept(waits)) == (1, [1.0])


def test_what_vanishes_is_returned(waits: list[float]) -> None:
    server = Server(["drops"])
    assert ask(server) == ["a", "b"]
    assert (len(server.sent), slept(waits)) == (4, [])


def test_without_waits_it_sends_once(waits: list[float]) -> None:
    assert ask(server := Server(["drops"]), ()) == ["a", "b"]
    assert len(server.sent) == 1
    with pytest.raises(LabelStudioDown):
        ask(Server(["down"]), ())


def test_other_errors_pass_at_once(waits: list[float]) -> None:
    def refuse(items: list[str]) -> bool:
        raise ValueError(items)

    server = Server(["stored"])
    with pytest.raises(ValueError, match="a"):
        send_until_stored(server.wanted, refuse, server.find_missing, WAITS)
    assert (server.lookups, waits) == (0, [])
