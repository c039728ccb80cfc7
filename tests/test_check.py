"""Checking a cheap evaluator against proper training."""

import json
import warnings
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import kendalltau

from nas.architecture import Architecture, ConvBlock, PoolBlock
from nas.check import JUDGED_BY, Check, Compared, check, check_record, random_networks
from nas.cli import space_check
from nas.cli.main import nas
from nas.errors import NasError
from nas.evaluators.full import FullEvaluator
from nas.executors import kept
from nas.rank import Agreement, agreement, attainable, kendall, kendall_interval, mutual_agreement
from nas.space import load_space
from nas.training.loop import Recipe
from nas.trial import Outcome
from tests.test_docs import EXAMPLES, assert_same_form

SPACE = """
name: little
resolution: 32
stages:
  - {op: conv, channels: [8, 16], kernel: 3, stride: 2, act: relu}
  - {op: mbconv, channels: [8, 16], depth: [1, 2], expand: [1, 2], kernel: [3, 5]}
head: {type: plain}
"""
ARGUMENTS = (
    "space check --data digits --epochs 1 --images 200 --resolution 16 --proxy-epochs 1 --networks 3 --workers 1"
)


@pytest.mark.parametrize("seed", range(4))
def test_tau_is_scipys_with_and_without_ties(seed):
    rng = np.random.default_rng(seed)
    one, other = rng.integers(0, 6, 20), rng.normal(size=20)
    assert kendall(one, other) == pytest.approx(kendalltau(one, other).statistic)


def test_tau_is_not_defined_where_a_judge_finds_all_equal():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert kendall([1, 1, 1], [1, 2, 3]) is None
        assert kendall_interval([1] * 8, range(8)) is None
        assert kendall_interval(range(8), [1] * 8) is None
        low, high = kendall_interval([*[1] * 7, 2], range(8))  # of the samples some have no tau
    assert low <= high


def test_of_few_things_there_is_no_interval():
    assert kendall_interval(range(7), range(7)) is None
    assert kendall_interval(range(8), range(8)) == (1, 1)


def test_the_seconds_of_a_network_begin_when_a_worker_has_it(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "time", SimpleNamespace(monotonic=iter([0.0, 100.0, 107.0]).__next__))
    network = Architecture(32, (ConvBlock(8, 3, 2, "relu"), PoolBlock()), num_classes=10)
    queue = kept._Queue([network], tmp_path, print, (0,))
    trial = queue.ask()
    queue.placed(trial, "host", 1)
    queue.tell(trial, Outcome({"accuracy": 0.5}))
    assert queue.results[network.id] == {"accuracy": 0.5, "seconds": 7.0}


@pytest.mark.parametrize("go_on", [True, False])
def test_a_worker_that_is_lost_three_times_is_a_failure_like_others(go_on, tmp_path):
    networks, said = random_networks(load_space("mobilenet_v3"), 2, seed=0), []
    queue = kept._Queue(networks, tmp_path, said.append, [3], go_on=go_on)
    first, second = queue.ask(), queue.ask()
    for _ in range(2):
        queue.lost(first, "killed")
        assert queue.ask() == first
    failure = f"network {networks[0].id}-seed3 was not evaluated: killed"
    if go_on:
        queue.lost(first, "killed")
        assert said == [failure]
        assert queue.results == {kept.kept_name(networks[0], 3): {}}
        queue.tell(second, Outcome({"accuracy": 0.5}))
    else:
        with pytest.raises(NasError, match=failure):
            queue.lost(first, "killed")


def test_no_tau_is_null_and_said(capsys):
    network = Architecture(32, (ConvBlock(8, 3, 2, "relu"), PoolBlock()), num_classes=10)
    compared = tuple(Compared(network, 0.1, (accuracy,), 1.0, 2.0) for accuracy in (0.5, 0.6))
    found = Check(compared, agreement([0.1, 0.1], [0.5, 0.6]))
    assert [check_record(found)[key] for key in ("kendall", "low", "high")] == [None] * 3
    space_check._print("proxy", "digits", 1, found)
    assert "digits: not defined, one of the two finds all networks equal (2 networks)" in capsys.readouterr().out
    twice = [replace(one, trainings=(0.5, 0.5 + 0.1 * place)) for place, one in enumerate(compared)]
    space_check._print(
        "proxy", "digits", 1, replace(found, compared=tuple(twice), attainable=attainable([[1, 1], [1, 2]]))
    )
    assert "could expect" not in capsys.readouterr().out


def test_the_interval_holds_tau_and_narrows_with_more_networks():
    rng = np.random.default_rng(0)
    widths = []
    for count in (12, 60):
        one = rng.normal(size=count)
        other = one + rng.normal(size=count)
        low, high = kendall_interval(one, other)
        assert low < kendall(one, other) < high
        widths.append(high - low)
    assert widths[1] < widths[0]


def test_what_is_attainable_is_the_tau_of_a_judge_who_knows_the_truth():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=2000)
    for count, noise in ((2, 0.5), (2, 1.5), (4, 1.0)):
        measured = truth + noise * rng.normal(size=(count, 2000))
        assert attainable(measured).kendall == pytest.approx(kendall(truth, measured.mean(0)), abs=0.05)


def test_what_is_attainable_is_as_doubtful_as_few_things_make_it():
    rng = np.random.default_rng(1)
    widths = []
    for things in (12, 60):
        truth = rng.normal(size=things)
        found = attainable(truth + rng.normal(size=(2, things)))
        assert found.low < found.kendall < found.high
        widths.append(found.high - found.low)
    assert widths[1] < widths[0] / 1.5


def test_measurements_without_anything_in_common_leave_nothing_to_attain():
    assert attainable([[1, 2, 3], [3, 2, 1]]).kendall == 0
    assert attainable([[1, 2, 3], [1, 2, 3]]).kendall == pytest.approx(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert attainable([[1, 1, 1], [1, 2, 3]]).kendall is None
        assert attainable([[1] * 8, range(8)]) == Agreement(None, None, None)
        assert attainable([range(8), [*[1] * 7, 2]]).low is not None  # of the samples some are all equal


def test_several_orders_agree_as_their_pairs_do_on_average():
    orders = np.random.default_rng(0).normal(size=(3, 12)) + np.arange(12) / 6
    found = mutual_agreement(orders)
    pairs = [kendall(one, other) for one, other in combinations(orders, 2)]
    assert found.kendall == pytest.approx(np.mean(pairs))
    assert found.low < found.kendall < found.high
    assert mutual_agreement(orders[:2]) == agreement(*orders[:2])
    assert mutual_agreement([*orders, np.ones(12)]).kendall is None


class Stub:
    """Says of each network how many parameters its first block has, and counts how often it is asked."""

    def __init__(self, log: Path) -> None:
        self.log = log

    def evaluate(self, trial, report):
        with self.log.open("a") as file:
            file.write("x")
        return Outcome({"accuracy": trial.proposal.architecture.blocks[0].channels / 100})


@pytest.fixture
def little(tmp_path):
    path = tmp_path / "little.yaml"
    path.write_text(SPACE)
    return path


def test_what_is_known_is_not_done_again(little, tmp_path):
    space, log, lines = load_space(little).with_num_classes(10), tmp_path / "log", []
    truth = FullEvaluator("digits", Recipe(1, 8), tmp_path / "truth", train_images=100)
    run = [Stub(log), truth, tmp_path / "judged", 1, lines.append]
    first = check(random_networks(space, 3, seed=1), *run)
    assert log.read_text() == "xxx"
    again = check(random_networks(space, 3, seed=1), *run)
    assert again.compared == first.compared
    more = check(random_networks(space, 4, seed=1), *run)
    assert log.read_text() == "xxxx"
    assert more.compared[:3] == first.compared
    assert all(0 < one.trained < 1 for one in more.compared)


def test_the_evaluator_has_a_seed_of_its_own(little, tmp_path):
    """With that of a training it would share its first weights, and seem to know more than it does."""
    seeds = []

    class Judge:
        def evaluate(self, trial, report):
            seeds.append(trial.seed)
            return Outcome({"accuracy": 0.5})

    drawn = random_networks(load_space(little).with_num_classes(10), 3, seed=1)
    truth = FullEvaluator("digits", Recipe(1, 8), tmp_path / "truth", train_images=100)
    check(drawn, Judge(), truth, tmp_path / "judged", 1, lambda _: None, trainings=2)
    assert seeds == [JUDGED_BY] * 3
    assert {path.stem for path in (tmp_path / "judged").iterdir()} == {f"{one.id}-seed{JUDGED_BY}" for one in drawn}


def test_two_trainings_of_each_network_are_compared_with_each_other_and_their_mean_with_the_judge(little, tmp_path):
    drawn = random_networks(load_space(little).with_num_classes(10), 4, seed=1)
    truth = FullEvaluator("digits", Recipe(1, 8), tmp_path / "truth", train_images=100)
    run = [Stub(tmp_path / "log"), truth, tmp_path / "judged", 1, lambda _: None]
    once, twice = check(drawn, *run), check(drawn, *run, trainings=2)
    assert (once.repeated, once.attainable) == (None, None)
    first, second = zip(*(c.trainings for c in twice.compared), strict=True)
    assert first == tuple(c.trained for c in once.compared)
    assert first != second
    assert twice.repeated == agreement(first, second)
    assert twice.attainable == attainable([first, second])
    means = [(a + b) / 2 for a, b in zip(first, second, strict=True)]
    assert [c.trained for c in twice.compared] == pytest.approx(means)
    assert twice.order == agreement([c.judged for c in twice.compared], means)


def test_the_command_says_how_far_two_trainings_agree(little, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "cache"))
    arguments = f"{ARGUMENTS} --space {little} --evaluator proxy --trainings 2".split()
    said = CliRunner().invoke(nas, arguments, catch_exceptions=False).stdout
    assert "again" in said.splitlines()[0]
    assert "between two trainings of the same networks: " in said
    assert "so an evaluator that knew what each network has on average could expect " in said
    assert "to train it 2 times" in said
    found = json.loads(CliRunner().invoke(nas, [*arguments, "--json"], catch_exceptions=False).stdout)
    assert_same_form(found, EXAMPLES["space check --json"])
    assert [len(one["test_accuracies"]) for one in found["architectures"]] == [2] * 3
    assert found["repeated"].keys() == {"kendall", "low", "high"}


def test_more_networks_than_the_space_has_are_refused(tmp_path):
    path = tmp_path / "two.yaml"
    path.write_text("{name: two, resolution: 32, stages: [{op: conv, channels: [8, 16]}], head: {type: plain}}")
    assert len(random_networks(load_space(path), 2, seed=0)) == 2
    with pytest.raises(NasError, match="only 2 different networks were found; expected 3"):
        random_networks(load_space(path), 3, seed=0)


@pytest.mark.parametrize("evaluator", ["supernet", "supernet --own-images 64", "proxy"])
def test_the_command_compares_an_evaluator_with_training(evaluator, little, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "cache"))
    arguments = f"{ARGUMENTS} --space {little} --evaluator {evaluator} --json".split()
    ran = CliRunner().invoke(nas, arguments, catch_exceptions=False)
    found = json.loads(ran.stdout)
    assert_same_form(found, EXAMPLES["space check --json"])
    name, _, own = evaluator.partition(" --own-images ")
    assert (found["evaluator"], found["own_images"]) == (name, int(own) if own else None)
    kept = [json.loads(path.read_text()) for path in Path("runs/check").glob(f"{name}-*/*.json")]
    assert [("own_accuracy" in one) for one in kept] == [bool(own)] * 3
    assert found["networks"] == len(found["architectures"]) == 3
    assert found["kendall"] is None or -1 <= found["kendall"] <= 1
    assert CliRunner().invoke(nas, arguments, catch_exceptions=False).stdout == ran.stdout


def test_a_supernet_of_another_space_judges_anew(little, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "cache"))
    arguments = f"{ARGUMENTS} --space {little} --evaluator supernet --json".split()
    for text in (SPACE, SPACE.replace("mbconv, channels: [8, 16]", "mbconv, channels: [8, 16, 24]")):
        little.write_text(text)
        CliRunner().invoke(nas, arguments, catch_exceptions=False)
    assert len(list(Path("runs/check").glob("supernet-*"))) == 2
    assert len(list(Path("runs/check").glob("trained-*"))) == 1
