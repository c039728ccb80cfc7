import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.errors import BudgetError, NasError
from nas.reward import REWARDS, make_reward

accuracies = st.floats(0.01, 1)
latencies = st.floats(0.1, 1000)
names = st.sampled_from(list(REWARDS))


def test_soft_pays_five_percent_more_accuracy_for_twice_the_latency():
    """MnasNet, section 3: l ms at accuracy a, and 2l ms at 1.05 a, are to be of about the same reward."""
    reward = make_reward("soft", 80)
    assert reward(0.5 * 1.05, 160) == pytest.approx(reward(0.5, 80), rel=5e-4)
    assert reward(0.752, 78) == pytest.approx(0.752 * (78 / 80) ** -0.07)


def test_hard_is_the_accuracy_within_the_budget_and_falls_with_the_excess():
    """MnasNet, figure 3: with a = 0 and b = -1 the objective is flat up to T = 80 ms and half at 160 ms."""
    reward = make_reward("hard", 80)
    assert reward(0.75, 20) == reward(0.75, 80) == 0.75
    assert reward(0.75, 160) == pytest.approx(0.375)


def test_absolute_costs_a_tenth_for_missing_the_target_by_all_of_it():
    """TuNAS: Q + beta |T/T0 - 1| with beta = -0.10."""
    reward = make_reward("absolute", 84)
    assert reward(0.76, 84) == 0.76
    assert reward(0.76, 168) == pytest.approx(0.66)
    assert reward(0.76, 42) == pytest.approx(0.71)


def test_mobilenet_v3_small_has_its_own_exponent():
    """1905.02244, section 4.3: w = -0.15 instead of -0.07."""
    assert make_reward("soft", 15, -0.15)(0.6, 30) == pytest.approx(0.6 * 2**-0.15)


@given(names, accuracies, latencies)
def test_every_reward_at_the_budget_is_the_accuracy(name, accuracy, budget_ms):
    assert make_reward(name, budget_ms)(accuracy, budget_ms) == pytest.approx(accuracy)


@given(names, accuracies, accuracies, latencies, latencies)
def test_more_accuracy_at_the_same_latency_is_never_worse(name, one, other, latency_ms, budget_ms):
    reward = make_reward(name, budget_ms)
    assert reward(min(one, other), latency_ms) <= reward(max(one, other), latency_ms)


@given(names, accuracies, latencies, latencies)
def test_beyond_the_budget_slower_is_never_better(name, accuracy, one, other):
    reward = make_reward(name, 0.1)
    assert reward(accuracy, max(one, other)) <= reward(accuracy, min(one, other))


@pytest.mark.parametrize("budget_ms", [0, -5, math.nan, math.inf])
def test_a_budget_that_is_no_time_is_refused(budget_ms):
    with pytest.raises(BudgetError, match="above 0"):
        make_reward("soft", budget_ms)


@pytest.mark.parametrize("exponent", [0.07, math.nan, -math.inf])
def test_an_exponent_that_pays_for_latency_is_refused(exponent):
    with pytest.raises(NasError, match="0 or a negative number"):
        make_reward("soft", 80, exponent)


def test_an_unknown_reward_is_answered_with_the_known_ones():
    with pytest.raises(NasError, match="'linear'; expected one of soft, hard, absolute"):
        make_reward("linear", 80)


def test_a_floor_pays_nothing_for_latencies_below_it():
    floored, plain = make_reward("soft:-0.15@16", 22), make_reward("soft", 22, -0.15)
    assert floored(0.6, 4) == floored(0.6, 16) == plain(0.6, 16)
    assert floored(0.6, 20) == plain(0.6, 20)


@pytest.mark.parametrize("floor", ["nan", "-3", "0", "inf", "99"])
def test_a_floor_below_which_nothing_or_everything_lies_is_refused(floor):
    with pytest.raises(NasError, match="expected milliseconds above 0 and up to the budget of 22 ms"):
        make_reward(f"soft:-0.15@{floor}", 22)


@pytest.mark.parametrize(
    ("name", "message"), [("soft:x", "soft:x: 'x' is no number"), ("hard@", "hard@: '' is no number")]
)
def test_a_name_with_no_number_in_it_is_refused(name, message):
    with pytest.raises(NasError, match=message):
        make_reward(name, 22)
