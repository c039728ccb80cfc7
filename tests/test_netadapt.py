"""NetAdapt as a strategy: what it proposes, what it chooses, and that it reaches the budget or says why not."""

import math
from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest

from nas.architecture import MBConvBlock
from nas.errors import BudgetError
from nas.network.inherit import require_narrower
from nas.network.widths import wire, with_widths
from nas.space import load_reference
from nas.strategies.combine import Option, combinations
from nas.strategies.cuts import Cutter
from nas.strategies.netadapt import NetAdapt
from nas.strategies.netadapt_settings import NetAdaptSettings, every, halving
from nas.trial import Outcome, Trial
from tests.strategy_worlds import latency_ms

SEED = load_reference("mobilenet_v3_small").with_num_classes(10)
SEED_MS = latency_ms(SEED)
SETTINGS = NetAdaptSettings(budget_ms=0.7 * SEED_MS, rule="netadapt", rounds=every(2), delta=0.1)


def capacity(architecture) -> float:
    """A made-up accuracy: every channel counts, expansions of late blocks most."""
    score = sum(math.log(width.channels) for width in wire(architecture).widths)
    late = [(i, block.mid_channels) for i, block in enumerate(architecture.blocks) if isinstance(block, MBConvBlock)]
    score += sum(0.1 * i * math.log(channels) for i, channels in late)
    return score / 1000


def by_capacity(proposal) -> Outcome:
    return Outcome({"accuracy": capacity(proposal.architecture), "loss": 1.0})


def drive(strategy, rng=None, judge=by_capacity, stop=None):
    """All trials in the order of asking; several at once and told in random order where there is an `rng`."""
    asked, running, told = [], [], 0
    while stop is None or told < stop:
        while (not running or rng) and (proposal := strategy.ask()) is not None:
            running.append(Trial(len(asked), proposal, asked_after=told))
            asked.append(proposal)
        if not running:
            break
        trial = running.pop(rng.randrange(len(running)) if rng else 0)
        outcome = judge(trial.proposal)
        strategy.tell(replace(trial, state=outcome.state, outcome=outcome, told=told))
        told += 1
    return asked


@pytest.mark.parametrize("rule", ["netadapt", "mobilenet_v3"])
def test_it_cuts_one_width_at_a_time_until_the_budget_is_met(rule):
    strategy = NetAdapt(SEED, replace(SETTINGS, rule=rule), latency_ms)
    drive(strategy)
    path = strategy.path
    assert strategy.finished
    assert strategy.failure is None
    assert path[-1].latency_ms <= SETTINGS.budget_ms < path[-2].latency_ms
    for before, after in pairwise(path):
        require_narrower(before.architecture, after.architecture)
        changed = [
            (a.kind, b.channels)
            for a, b in zip(wire(before.architecture).widths, wire(after.architecture).widths, strict=True)
            if a.channels != b.channels and a.kind != "squeeze"
        ]
        assert changed == [(after.cut.kind, after.channels)]
        assert after.channels % 8 == 0
        assert after.latency_ms == latency_ms(after.architecture) < before.latency_ms


def test_each_proposal_is_the_widest_cut_of_its_width_that_makes_the_step():
    strategy = NetAdapt(SEED, replace(SETTINGS, delta=0.01), latency_ms)
    drive(strategy, stop=1)
    target_ms = SEED_MS * (1 - 0.01)
    proposals = list(iter(strategy.ask, None))
    assert len(proposals) > 3
    widths = wire(SEED).widths
    for proposal in proposals:
        (index,) = [
            i
            for i, w in enumerate(wire(proposal.architecture).widths)
            if w.channels != widths[i].channels and w.kind != "squeeze"
        ]
        channels = wire(proposal.architecture).widths[index].channels
        assert latency_ms(proposal.architecture) <= target_ms
        wider = [latency_ms(with_widths(SEED, {index: c})) for c in range(channels + 8, widths[index].channels, 8)]
        assert all(ms > target_ms for ms in wider)
        assert proposal.parent == 0


def test_the_rules_choose_differently_where_a_small_loss_buys_little_time():
    """One proposal loses least accuracy, another loses a bit more but is much faster."""
    for rule in ("netadapt", "mobilenet_v3"):
        strategy = NetAdapt(SEED, replace(SETTINGS, rule=rule, delta=0.02), latency_ms)

        def judge(proposal):
            saved = SEED_MS - latency_ms(proposal.architecture)
            return Outcome({"accuracy": 0.9 - 0.01 * math.sqrt(saved)})

        asked = drive(strategy, judge=judge, stop=60)
        first = [p for p in asked if p.parent == 0]
        saved = [SEED_MS - latency_ms(p.architecture) for p in first]
        winner = SEED_MS - strategy.path[1].latency_ms
        assert winner == pytest.approx(min(saved) if rule == "netadapt" else max(saved))


def test_the_mobilenet_rule_leaves_stem_and_head_alone():
    strategy = NetAdapt(SEED, replace(SETTINGS, rule="mobilenet_v3"), latency_ms)
    drive(strategy)
    assert {step.cut.kind for step in strategy.path[1:]} <= {"expansion", "bottleneck"}
    head = SEED.blocks[-3:]
    assert strategy.path[-1].architecture.blocks[-3:] == head


def by_estimate(proposal) -> Outcome:
    """Without epochs what a cut seems to cost, else what it does."""
    if proposal.epochs or proposal.parent is None:
        return by_capacity(proposal)
    return Outcome({"loss_change": capacity(SEED) - capacity(proposal.architecture)})


def test_halving_estimates_single_cuts_and_trains_what_they_make_together():
    strategy = NetAdapt(SEED, replace(SETTINGS, rounds=halving(4)), latency_ms)
    asked = drive(strategy, Random(0), by_estimate)
    assert strategy.path[-1].latency_ms <= SETTINGS.budget_ms
    first = [p for p in asked[1:] if p.parent == 0]
    single, trained = [p for p in first if p.epochs == 0], [p for p in first if p.epochs == 1]
    assert all(len(changed(SEED, p.architecture)) == 1 for p in single)
    assert len(trained) == 3
    assert len({p.architecture for p in trained}) == 3
    assert all(latency_ms(p.architecture) <= 0.9 * SEED_MS for p in trained)
    assert strategy.path[1].others == len(changed(SEED, strategy.path[1].architecture)) - 1 > 0
    goes_on = asked[len(first) + 1]
    assert (goes_on.epochs, goes_on.architecture) == (3, asked[goes_on.parent].architecture)
    assert sum(p.epochs for p in asked) < sum(4 for p in asked if p.epochs == 0) / 3


def changed(before, after) -> list[int]:
    pairs = zip(wire(before).widths, wire(after).widths, strict=True)
    return [i for i, (a, b) in enumerate(pairs) if a.channels != b.channels and a.kind != "squeeze"]


def test_cuts_that_cost_least_for_their_time_are_made_together():
    cutter = Cutter(SEED, latency_ms, ("expansion", "bottleneck", "filters"), 8)
    cuts = [cut for share in (0.01, 0.03) for cut in cutter.within({}, (1 - share) * SEED_MS)]
    options = [Option(index, cut, SEED_MS - cut.latency_ms, float(index)) for cut in cuts for index in cut.widths]
    first, *others = combinations(cutter, {}, options, 0.93 * SEED_MS, 3)
    cheap = sorted({option.index for option in options})
    assert first.latency_ms <= 0.93 * SEED_MS
    assert set(first.widths) <= set(cheap[: len(first.widths) + 1])
    costliest = max(first.widths)
    assert costliest not in others[0].widths
    nothing_left = combinations(cutter, {}, options[:1], 0.5 * SEED_MS, 3)
    assert [cut.architecture for cut in nothing_left] == [options[0].cut.architecture]


@pytest.mark.parametrize(
    "true_share",
    [
        lambda share: share,
        lambda share: 1.25 * share - 0.25,  # cuts save more than predicted
        lambda share: 0.7 * share + 0.3,  # and less
        lambda share: share**1.7,  # first more, then less
        lambda share: 0.55 + 0.45 * share if share > 0.85 else 0.9325 - 1.5 * (0.85 - share),  # first less, then more
    ],
)
def test_what_meets_the_budget_is_what_was_measured(true_share):
    """A device on which cuts save something else than predicted."""
    measured = []

    def measured_ms(network):
        measured.append(network)
        return 0.5 * SEED_MS * true_share(latency_ms(network) / SEED_MS)

    settings = replace(SETTINGS, budget_ms=0.35 * SEED_MS, rounds=halving(1), delta=0.08)
    strategy = NetAdapt(SEED, settings, latency_ms, "here", measured_ms)
    asked = drive(strategy, judge=by_estimate)
    assert strategy.finished
    assert strategy.failure is None
    last = strategy.path[-1]
    assert last.latency_ms == pytest.approx(measured_ms(last.architecture))
    assert 0.97 * settings.budget_ms <= last.latency_ms <= 1.01 * settings.budget_ms
    assert {step.architecture for step in strategy.path} <= set(measured)
    trained = [p.architecture for p in asked if p.epochs]
    assert len(trained) == len(set(trained))


def test_what_just_misses_the_budget_is_made_again_before_it_is_trained():
    """A device on which the second step saves three fifths of what is predicted: a third one would be a small one."""

    def measured_ms(network):
        share = latency_ms(network) / SEED_MS
        return SEED_MS * (share if share > 0.88 else 0.88 - 0.6 * (0.88 - share))

    settings = replace(SETTINGS, budget_ms=0.8 * SEED_MS, rounds=halving(1))
    strategy = NetAdapt(SEED, settings, latency_ms, "here", measured_ms)
    asked = drive(strategy, judge=by_estimate)
    assert 0.97 * settings.budget_ms <= strategy.path[-1].latency_ms <= 1.01 * settings.budget_ms
    assert len(strategy.path) == 1 + 2
    assert all(measured_ms(p.architecture) <= 1.01 * settings.budget_ms for p in asked[-2:])
    assert sum(bool(p.epochs) for p in asked) <= 2 * 3


@pytest.mark.parametrize(("rounds", "delta", "judge"), [(halving(1), 0.1, by_estimate), (every(2), 0.06, by_capacity)])
def test_no_network_is_trained_again_because_it_is_too_fast(rounds, delta, judge):
    """A device on which some cuts save three times what is predicted, more than is believed: none uses the budget."""

    def measured_ms(network):
        share = latency_ms(network) / SEED_MS
        return SEED_MS * (share if share > 0.9 else 0.9 - 3 * (0.9 - share) if share > 0.7 else 0.3 * share / 0.7)

    settings = replace(SETTINGS, budget_ms=0.75 * SEED_MS, rounds=rounds, delta=delta)
    strategy = NetAdapt(SEED, settings, latency_ms, "here", measured_ms)
    needed = []
    asked = drive(strategy, judge=lambda proposal: needed.append(strategy.needed) or judge(proposal))
    assert strategy.finished
    assert strategy.failure is None
    last = strategy.path[-1]
    assert last.latency_ms < 0.97 * settings.budget_ms
    assert all(last.holder in numbers for numbers in needed[last.holder + 1 :])  # its weights were never removed
    trained = [(p.architecture, p.parent) for p in asked if p.epochs]
    assert len(trained) == len(set(trained))


def test_without_any_training_all_weights_come_from_the_seed():
    strategy = NetAdapt(SEED, replace(SETTINGS, rounds=halving(1)[:1]), latency_ms)
    asked = drive(strategy)
    assert {p.parent for p in asked[1:]} == {0}
    assert strategy.path[-1].latency_ms <= SETTINGS.budget_ms


def test_a_cut_that_leaves_much_of_the_budget_unused_is_proposed_only_where_there_is_no_other():
    def stepped_ms(network):  # a narrower stem saves a fifth at a stroke
        return latency_ms(network) * (1 if network.blocks[0] == SEED.blocks[0] else 0.8)

    budget_ms = 0.95 * SEED_MS
    strategy = NetAdapt(SEED, replace(SETTINGS, budget_ms=budget_ms, delta=0.06), stepped_ms)
    asked = drive(strategy)
    assert len(asked) > 2
    assert all(0.97 * budget_ms <= stepped_ms(p.architecture) <= budget_ms for p in asked[1:])
    cuts = Cutter(SEED, stepped_ms, ("expansion", "bottleneck", "filters"), 8).within({}, budget_ms)
    assert min(cut.latency_ms for cut in cuts) < 0.8 * budget_ms


@pytest.mark.parametrize("from_scratch", [False, True])
def test_the_last_network_is_trained_at_the_end(from_scratch):
    settings = replace(SETTINGS, final_epochs=30, from_scratch=from_scratch)
    strategy = NetAdapt(SEED, settings, latency_ms)
    asked = drive(strategy, Random(1))
    last = strategy.path[-1]
    assert asked[-1].architecture == last.architecture
    assert (asked[-1].epochs, asked[-1].parent) == (30, None if from_scratch else last.holder)
    assert strategy.final.number == len(asked) - 1
    assert strategy.finished


def test_the_order_in_which_workers_finish_changes_nothing():
    orders = [
        drive(NetAdapt(SEED, replace(SETTINGS, rounds=halving(2)), latency_ms), rng, by_estimate)
        for rng in (None, Random(1), Random(2))
    ]
    assert orders[0] == orders[1] == orders[2]


def test_proposals_that_fail_take_no_part():
    def judge(proposal):
        if wire(proposal.architecture).widths[0].channels < 16:  # the stem
            return Outcome(error="the loss became nan in epoch 1")
        return Outcome({"accuracy": 1 - capacity(proposal.architecture)})

    strategy = NetAdapt(SEED, SETTINGS, latency_ms)
    drive(strategy, judge=judge)
    assert strategy.failure is None
    assert wire(strategy.path[-1].architecture).widths[0].channels == 16


def test_when_all_proposals_fail_it_ends_and_says_so():
    strategy = NetAdapt(SEED, SETTINGS, latency_ms)
    judge = lambda p: Outcome({"accuracy": 0.5}) if p.parent is None else Outcome(error="the loss became nan")  # noqa: E731
    drive(strategy, judge=judge)
    assert strategy.finished
    assert "proposals of iteration 1 failed: the loss became nan" in strategy.failure


def test_a_budget_out_of_reach_is_one_line_with_the_smallest_reachable():
    with pytest.raises(BudgetError, match=r"to 0.1 ms on a phone; the smallest reachable is [\d.]+ ms") as caught:
        NetAdapt(SEED, replace(SETTINGS, budget_ms=0.1), latency_ms, "a phone")
    smallest = float(str(caught.value).split("reachable is ")[1].split()[0])
    strategy = NetAdapt(
        SEED, replace(SETTINGS, budget_ms=smallest * 1.001, rounds=halving(1)[:1], delta=0.3), latency_ms
    )
    drive(strategy)
    assert strategy.path[-1].latency_ms <= smallest * 1.001


def test_a_budget_is_refused_by_what_was_measured_where_predictions_are_too_high():
    smallest_ms = latency_ms(Cutter(SEED, latency_ms, ("expansion", "bottleneck", "filters"), 8).smallest)
    settings = replace(SETTINGS, budget_ms=0.9 * smallest_ms, rounds=halving(1)[:1], delta=0.3)
    strategy = NetAdapt(SEED, settings, latency_ms, measured_ms=lambda network: 0.7 * latency_ms(network))
    drive(strategy)
    assert strategy.path[-1].latency_ms <= 1.01 * settings.budget_ms
    with pytest.raises(BudgetError, match=f"reachable is {0.95 * smallest_ms:.4g} ms"):
        NetAdapt(SEED, settings, latency_ms, measured_ms=lambda network: 0.95 * latency_ms(network))


def test_a_seed_within_the_budget_is_left_as_it_is():
    strategy = NetAdapt(SEED, replace(SETTINGS, budget_ms=SEED_MS), latency_ms)
    assert len(drive(strategy)) == 1
    assert strategy.finished
    assert strategy.path[-1].architecture == SEED


def test_weights_that_may_still_be_inherited_are_needed_and_no_others():
    strategy = NetAdapt(SEED, replace(SETTINGS, rounds=halving(2)), latency_ms)
    asked = []
    while (proposal := strategy.ask()) is not None:
        trial = Trial(len(asked), proposal, asked_after=0)
        asked.append(proposal)
        assert proposal.parent is None or proposal.parent in strategy.needed
        outcome = by_estimate(proposal)
        strategy.tell(replace(trial, state=outcome.state, outcome=outcome))
    assert strategy.needed == {step.holder for step in strategy.path}
