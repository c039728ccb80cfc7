"""Early stopping: who ends at which epoch, as a function of what was heard."""

import pytest

from nas.architecture import Architecture, ConvBlock, PoolBlock
from nas.stopping import SuccessiveHalving, rungs
from nas.trial import Outcome, Proposal, Trial

TINY_NETWORK = Architecture(32, (ConvBlock(8, 3, 2, "relu"), PoolBlock()), num_classes=10)


def trial(number: int, outcome: Outcome | None = None) -> Trial:
    if outcome is None:
        return Trial(number, Proposal(TINY_NETWORK), 0)
    return Trial(number, Proposal(TINY_NETWORK), 0, outcome.state, outcome)


def trained(rule: SuccessiveHalving, number: int, curve: list[float]) -> int:
    """The epoch after which the trial ended."""
    for epoch, accuracy in enumerate(curve, start=1):
        if rule.stops(trial(number), epoch, {"accuracy": accuracy}) or epoch == len(curve):
            rule.ended(trial(number, Outcome({"accuracy": accuracy}, stopped=epoch < len(curve))))
            return epoch
    raise AssertionError


@pytest.mark.parametrize(("epochs", "expected"), [(1, ()), (2, (1,)), (3, (1,)), (4, (1, 2)), (9, (1, 2, 4))])
def test_rungs_are_halves_of_all_epochs(epochs, expected):
    assert rungs(epochs) == expected


def test_the_worse_half_ends_at_a_rung_and_the_better_half_goes_on():
    rule = SuccessiveHalving(4)
    assert [trained(rule, number, [0.1 * number] * 4) for number in range(1, 5)] == [4, 4, 4, 4]  # too few to compare
    assert trained(rule, 5, [0.24] * 4) == 1
    assert trained(rule, 6, [0.30, 0.20, 0.9, 0.9]) == 2
    assert trained(rule, 7, [0.30, 0.30, 0.0, 0.0]) == 4  # no rung behind the half


def test_a_rung_at_which_trainings_have_hardly_begun_stops_nobody():
    rule = SuccessiveHalving(4)
    for number in range(4):
        assert trained(rule, number, [0.1 + 0.1 * number, 0.5, 0.7, 0.8]) == 4
    assert trained(rule, 4, [0.05, 0.45, 0.7, 0.8]) == 2  # the medians: 0.25 and 0.5 of 0.8
    assert trained(rule, 5, [0.0, 0.9, 0.9, 0.9]) == 4


def test_trials_that_still_run_or_have_failed_are_compared_with_nobody():
    rule = SuccessiveHalving(2)
    for number in range(10):
        assert not rule.stops(trial(number), 1, {"accuracy": 0.9})
    for number in range(5):
        rule.ended(trial(number, Outcome(error="died")))
    for number in range(11, 13):
        assert trained(rule, number, [0.9, 0.9]) == 2
    assert not rule.stops(trial(10), 1, {"accuracy": 0.1})


def test_what_is_recalled_counts_as_if_it_had_been_heard():
    heard, recalled = SuccessiveHalving(4), SuccessiveHalving(4)
    for number in range(6):
        curve = [0.1 * number, 0.2 * number, 0.9, 0.9]
        epochs = trained(heard, number, curve)
        outcome = Outcome({"accuracy": curve[epochs - 1]}, stopped=epochs < 4)
        recalled.recall(trial(number, outcome), [(e, {"accuracy": curve[e - 1]}) for e in range(1, epochs + 1)])
    for accuracy in (0.1, 0.2, 0.25, 0.3, 0.4):
        decisions = {rule.stops(trial(9), 1, {"accuracy": accuracy}) for rule in (heard, recalled)}
        assert len(decisions) == 1


def test_a_run_that_was_lost_is_compared_with_nobody():
    live, replayed = SuccessiveHalving(8), SuccessiveHalving(8)
    for epoch in (1, 2, 4):
        live.stops(trial(0), epoch, {"accuracy": 0.2})
    live.forget(trial(0))  # its worker died; the rerun ends at the first rung
    for rule in (live, replayed):
        rule.stops(trial(0), 1, {"accuracy": 0.2})
        rule.ended(trial(0, Outcome({"accuracy": 0.2}, stopped=True)))
    assert live._rungs == replayed._rungs
