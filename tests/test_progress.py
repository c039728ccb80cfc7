"""What a search shows while it runs."""

import pytest

from nas.cli.progress import Board, search_progress
from nas.space import load_reference
from nas.study import Entry
from nas.trial import Outcome, Proposal, Trial, TrialState

NETWORK = load_reference("mobilenet_v3_small")


def entry(number, accuracy=None, latency_ms=50.0, error=None):
    outcome = None if accuracy is None and error is None else Outcome({"accuracy": accuracy or 0.0}, error=error)
    state = TrialState.RUNNING if outcome is None else outcome.state
    return Entry(number + 1, Trial(number, Proposal(NETWORK), 0, state, outcome), latency_ms)


@pytest.fixture
def board():
    return Board(trials=4, budget_ms=60.0)


def test_the_best_is_within_the_budget_and_the_faster_of_equals(board):
    board.ended(entry(0, 0.4, 30.0))
    board.ended(entry(1, 0.4, 20.0))
    board.ended(entry(2, 0.9, 61.0))
    board.ended(entry(3, error="nan"))
    assert board.best.id == 2
    assert board.done == 4
    assert board.summary().startswith("4/4 trials, best 40.00% at 20.0 ms (trial:2)")


def test_time_left_is_unknown_until_a_trial_of_this_run_has_ended(board):
    board.ended(entry(0, 0.4))
    assert board.seconds_left is None
    board.started(entry(1))
    board.reported(entry(1), 1, {"accuracy": 0.2})
    assert board.lines[2].accuracy == 0.2
    board.ended(entry(1, 0.5))
    assert board.seconds_left >= 0


def test_without_a_terminal_each_trial_is_one_line(capsys):
    with search_progress(2, 60.0) as listener:
        listener.ended(entry(0, 0.4))
        for number, error in ((1, None), (2, "ValueError: no luck")):
            listener.started(entry(number))
            listener.ended(entry(number, None if error else 0.5, error=error))
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("trial:2 accuracy 50.00%, 50.0 ms; 2/2 trials, best 50.00% at 50.0 ms (trial:2)")
    assert second.startswith("trial:3 failed: ValueError: no luck")
