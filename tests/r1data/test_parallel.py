"""Work by what it needs: order, overlap, failures, interruptions, context."""

import threading
from contextvars import ContextVar

import pytest

from r1data.parallel import run_graph

DIAMOND: dict[str, set[str]] = {"a": set(), "b": {"a"}, "c": {"a"}, "d": {"b", "c"}}
WHO: ContextVar[str] = ContextVar("WHO", default="nobody")


def test_what_is_needed_is_done_before() -> None:
    ended: list[str] = []

    def work(name: str) -> str:
        assert set(ended) >= DIAMOND[name]
        ended.append(name)
        return name.upper()

    assert run_graph(DIAMOND, work) == {"a": "A", "b": "B", "c": "C", "d": "D"}


def test_independent_pieces_overlap() -> None:
    both = threading.Barrier(2, timeout=10)  # breaks unless b and c are there at the same time
    run_graph(DIAMOND, lambda name: both.wait() if name in "bc" else 0)


def test_first_failure_is_raised_and_nothing_more_started() -> None:
    started: list[str] = []

    def work(name: str) -> None:
        started.append(name)
        if name == "b":
            raise ValueError("b is broken")

    with pytest.raises(ValueError, match="b is broken"):
        run_graph({"a": set(), "b": {"a"}, "d": {"b"}}, work)
    assert started == ["a", "b"]


def test_an_interruption_stops_what_runs() -> None:
    stopped = threading.Event()

    def work(name: str) -> None:
        if name == "interrupted":
            raise KeyboardInterrupt
        assert stopped.wait(10), "stop was not called"

    with pytest.raises(KeyboardInterrupt):
        run_graph({"long": set(), "interrupted": set()}, work, stopped.set)


def test_work_sees_the_callers_context() -> None:
    token = WHO.set("me")
    assert run_graph({"a": set()}, lambda _: WHO.get()) == {"a": "me"}
    WHO.reset(token)


def test_a_circle_is_refused() -> None:
    with pytest.raises(AssertionError, match="wait for each other: a, b"):
        run_graph({"a": {"b"}, "b": {"a"}}, lambda name: name)
