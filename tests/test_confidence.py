"""Intervals of any coverage, and searches that accept a network by the upper end of one."""

from dataclasses import replace
from random import Random

import pytest

from nas.architecture import Architecture, ConvBlock, PoolBlock
from nas.cli.search import verify_best
from nas.errors import BudgetError, LatencyError, NasError
from nas.latency.confidence import interval_at
from nas.latency.corrected import CorrectedTable
from nas.latency.corrections import Corrections
from nas.latency.device import read_device, write_device
from nas.latency.model import Latency, OpSumModel
from nas.latency.table import Row, as_deployed
from nas.latency.targets import load_target
from nas.layers import lower
from nas.resources import data_dir
from nas.search import SearchSettings, proxy_training, search
from nas.space import load_space
from nas.store.records import StoredTrial
from nas.store.store import Store
from nas.trial import Outcome, Proposal, Trial, TrialState
from tests.test_cli import nas  # noqa: F401 - a fixture

PIXEL1 = load_target("pixel1")
DEVICE = read_device(data_dir("latency_models") / "pixel1" / "device.yaml")
ERRORS = tuple((-1) ** i * i / 1000 for i in range(1, 40))  # 39, the largest 3.9 %
MEASURED = replace(DEVICE, errors=ERRORS, interval=0.036, error={"networks": 39.0})


def test_the_recorded_coverage_has_the_recorded_interval():
    assert interval_at(DEVICE, 0.9) == DEVICE.interval
    assert interval_at(MEASURED, 0.9) == 0.036


@pytest.mark.parametrize(("coverage", "rank"), [(0.5, 20), (0.8, 32), (0.95, 38), (0.975, 39)])
def test_recorded_errors_bound_a_new_one_by_their_rank(coverage, rank):
    assert interval_at(MEASURED, coverage) == pytest.approx(rank / 1000)


def test_a_random_error_of_the_same_kind_is_covered_as_often_as_promised():
    rng = Random(0)
    hits = 0
    for _ in range(2000):
        errors = [rng.gauss(0, 0.02) for _ in range(40)]
        ranked = sorted(map(abs, errors[:39]))
        device = replace(MEASURED, errors=tuple(errors[:39]), interval=ranked[35])
        hits += abs(errors[39]) <= interval_at(device, 0.95)
    assert hits / 2000 == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize("device", [DEVICE, MEASURED], ids=["without errors", "with errors"])
def test_more_confidence_is_never_a_narrower_interval(device):
    coverages = [0.01, 0.5, 0.8, 0.9, 0.95, 0.97, 0.975, 0.976, 0.98, 0.99, 0.999, 0.99999]
    widths = [interval_at(device, coverage) for coverage in coverages]
    assert widths == sorted(widths)
    assert widths[-1] > widths[-3] > device.interval


def test_without_recorded_errors_the_tail_is_students():
    t95, t90 = 2.306004, 1.859548  # 8 degrees of freedom, two-sided: any table
    assert interval_at(DEVICE, 0.95) == pytest.approx(DEVICE.interval * t95 / t90, rel=1e-5)


@pytest.mark.parametrize("coverage", [0, 1, 95, -0.5, float("nan")])
def test_a_coverage_that_is_no_share_is_refused(coverage):
    with pytest.raises(LatencyError, match=r"expected a share above 0 and below 1, such as 0\.95"):
        PIXEL1.with_coverage(coverage)


def test_the_estimate_stays_and_the_interval_widens():
    network = load_space("mobilenet_v1").decode((0, 0))
    wider = PIXEL1.with_coverage(0.99)
    assert wider.estimate(network).ms == PIXEL1.estimate(network).ms
    assert wider.estimate(network).high_ms > PIXEL1.estimate(network).high_ms
    assert wider.with_coverage(0.9).estimate(network).high_ms == pytest.approx(PIXEL1.estimate(network).high_ms)
    assert (wider.target, wider.version) == (PIXEL1.target, PIXEL1.version)


def test_the_doubt_of_interpolated_ops_widens_as_the_interval_does():
    network = Architecture(16, (ConvBlock(8, 3, 2, "relu"), PoolBlock()), num_classes=4)
    rows = {as_deployed(op): Row(as_deployed(op), 1.0, 0.0) for op in lower(network)}
    conv = next(op for op in rows if op.kind == "conv")
    rows[replace(conv, out_channels=16)] = rows.pop(conv)
    model = OpSumModel(replace(MEASURED, fit={"interpolation": 0.2}), CorrectedTable(rows, Corrections({})), "1")
    wide = model.with_coverage(0.975)
    narrow, wider = model.estimate(network), wide.estimate(network)
    assert narrow.interpolated
    assert wide.with_coverage(0.9).device.fit["interpolation"] == pytest.approx(0.2)
    assert (wider.high_ms - wider.ms) / (narrow.high_ms - narrow.ms) == pytest.approx(39 / 36)


def test_errors_survive_the_file_and_wrong_ones_are_refused(tmp_path):
    path = tmp_path / "device.yaml"
    write_device(MEASURED, path)
    assert read_device(path).errors == ERRORS
    path.write_text(path.read_text().replace("- -0.001\n", "- -1.001\n"))
    with pytest.raises(LatencyError, match=r"device\.yaml: interval\.errors: -1\.001; expected relative errors"):
        read_device(path)


# Searches

SETTINGS = SearchSettings(
    budget_ms=40.0, proxy=proxy_training("digits", "proxy", resolution=16, epochs=1, train_images=64),
    space="mobilenet_v2", data="digits", evaluator="proxy", trials=30, strategy="random", confidence=0.99,
    target="pixel1", latency_version=PIXEL1.version,
)  # fmt: skip


class Silent:
    def started(self, entry): ...
    def reported(self, entry, epoch, metrics): ...
    def ended(self, entry): ...
    def tick(self): ...


class Untrained:
    """An executor whose trials all come out alike, without the training."""

    def __init__(self, workers): ...

    def run(self, queue, evaluator):
        while (trial := queue.ask()) is not None:
            queue.tell(trial, Outcome({"accuracy": 0.5}))


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr("nas.search.run.LocalExecutor", Untrained)
    monkeypatch.chdir(tmp_path)
    with Store.open("runs/trials.db") as store:
        yield store


def test_a_search_accepts_only_networks_whose_upper_end_meets_the_budget(store):
    found = search(SETTINGS, latency=PIXEL1, store=store, listener=Silent())
    upper, trials = PIXEL1.with_coverage(0.99), store.trials(found.study)
    assert len(trials) == SETTINGS.trials
    for stored in trials:
        latency = upper.estimate(stored.trial.proposal.architecture)
        assert latency.high_ms <= SETTINGS.budget_ms
        assert stored.latency_ms == pytest.approx(latency.ms)  # what is recorded stays the estimate
    assert found.best is not None
    plain = replace(SETTINGS, confidence=None)
    found_plain = search(plain, latency=PIXEL1, store=store, listener=Silent())
    reach = [upper.estimate(s.trial.proposal.architecture).high_ms for s in store.trials(found_plain.study)]
    assert max(reach) > SETTINGS.budget_ms  # which the confidence kept out
    with pytest.raises(NasError, match=r"begun with confidence=0\.99, not 0\.5"):
        search(replace(SETTINGS, confidence=0.5), latency=PIXEL1, store=store, listener=Silent(), name=found.study)


def test_a_budget_between_estimate_and_upper_end_of_the_smallest_network_is_out_of_reach(store):
    smallest = min(PIXEL1.estimate(load_space("mobilenet_v1").with_num_classes(10).decode((r, 0))).ms for r in range(4))
    settings = replace(SETTINGS, space="mobilenet_v1", budget_ms=smallest * 1.01)
    with pytest.raises(BudgetError, match=r"on pixel1 with confidence 0\.99; the fastest found takes"):
        search(settings, latency=PIXEL1, store=store, listener=Silent())


def test_the_confidence_is_part_of_the_study():
    names = {replace(SETTINGS, confidence=confidence).study_name for confidence in (None, 0.9, 0.95)}
    assert len(names) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--confidence", "0"), "--confidence: '0' is not a share above 0 and below 1, such as 0.95"),
        (("--confidence", "1"), "--confidence: '1' is not a share"),
        (("--confidence", "95"), "--confidence: '95' is not a share"),
        (("--confidence", "sure"), "--confidence: 'sure' is not a share"),
        (("--confidence", "0.9", "--explore-over-budget"), "--explore-over-budget trains them; give one"),
        (("--verify",), "--verify: pixel1 cannot be measured from here; only --target host can"),
        (("--verify", "--target", "nokia"), "unknown target 'nokia'"),
    ],
)
def test_a_wrong_confidence_or_verification_is_one_line_before_anything_runs(nas, tmp_path, options, message):  # noqa: F811
    code, out, err = nas("search", "--budget", "60ms", "--data", "digits", *options)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert not list(tmp_path.glob("runs/*/trial-*"))


# Verification


class Model:
    target, version = "host", "1"

    def __init__(self, latency):
        self._latency = latency

    def estimate(self, architecture):
        return self._latency


def stored_trial(architecture):
    trial = Trial(0, Proposal(architecture), 0, TrialState.COMPLETE, Outcome({"accuracy": 0.5}), told=0)
    values = dict.fromkeys(StoredTrial.__dataclass_fields__)
    return StoredTrial(**{**values, "id": 7, "trial": trial})


def test_the_best_network_is_measured_whole_beside_its_prediction():
    network = Architecture(32, (ConvBlock(8, 3, 2, "relu"), PoolBlock()), num_classes=4)
    verified = verify_best(stored_trial(network), Model(Latency(1e3, 9e2, 1.1e3)))
    assert list(verified) == [
        "trial", "architecture", "target", "ms", "low_ms", "high_ms", "measured_ms", "error", "within_interval",
    ]  # fmt: skip
    assert (verified["trial"], verified["architecture"], verified["target"]) == (7, network.id, "host")
    assert 0 < verified["measured_ms"] < 900
    assert verified["within_interval"] is False
    assert verified["error"] == pytest.approx((1e3 / verified["measured_ms"] - 1) * 100)
    wide = verify_best(stored_trial(network), Model(Latency(1.0, 0.0, 1e6)))
    assert wide["within_interval"] is True
