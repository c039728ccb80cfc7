"""A study whose space, table or code changed says so, and goes on as a new one; weights lie beside the database."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from nas.errors import StudyError
from nas.forking import fidelity
from nas.latency.targets import load_target
from nas.search import SearchSettings, accuracy_version, proxy_training, search
from nas.store.store import Store
from nas.trial import Outcome, TrialState
from tests.executor_helpers import formula
from tests.strategy_worlds import SIX_NETWORKS
from tests.study_helpers import Silent

PIXEL1 = load_target("pixel1")


class Untrained:
    """An executor whose outcomes are a formula; counts what it was given."""

    evaluated = 0
    folder = None

    def __init__(self, workers): ...

    def run(self, queue, evaluator):
        Untrained.folder = evaluator.folder
        while (trial := queue.ask()) is not None:
            Untrained.evaluated += 1
            queue.tell(trial, Outcome({"accuracy": formula(trial)}))


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr("nas.search.run.LocalExecutor", Untrained)
    monkeypatch.setattr(Untrained, "evaluated", 0)
    with Store.open(tmp_path / "elsewhere" / "trials.db") as store:
        yield store


@pytest.fixture
def settings(tmp_path):
    space = tmp_path / "space.yaml"
    space.write_text(SIX_NETWORKS)
    return SearchSettings(
        budget_ms=100.0, proxy=proxy_training("digits", "proxy"), target="pixel1", latency_version=PIXEL1.version,
        space=str(space), data="digits", evaluator="proxy", strategy="evolution", trials=4,
    )  # fmt: skip


def run(store, settings, **options):
    latency = replace(PIXEL1, version=settings.latency_version)
    return search(settings, latency=latency, store=store, listener=Silent(), **options)


def sources(store, study):
    return [stored.source for stored in store.trials(study)]


def test_another_study_with_the_same_training_trains_nothing_twice(store, settings):
    first = run(store, settings)
    second = run(store, replace(settings, seed=1, trials=6))
    assert Untrained.evaluated == 6  # all networks of the space, once
    assert sorted(s for s in sources(store, second.study) if s) == [s.id for s in store.trials(first.study)]
    third = run(store, replace(settings, seed=2, trials=6), reuse=False)
    assert Untrained.evaluated == 12
    assert sources(store, third.study) == [None] * 6


@pytest.mark.parametrize("change", [{"epochs": 9}, {"resolution": 16}])
def test_another_training_is_not_reused(store, settings, change):
    run(store, settings)
    other = replace(settings, proxy=replace(settings.proxy, **change), seed=1)
    assert sources(store, run(store, other).study) == [None] * 4


def test_weights_lie_beside_the_database(store, settings, tmp_path):
    found = run(store, settings)
    assert tmp_path / "elsewhere" / found.study == Untrained.folder


def changed(what, settings, monkeypatch):
    """The settings of the same search after the change."""
    match what:
        case "space":
            with Path(settings.space).open("a") as file:
                file.write("  # nothing but a remark changes nothing\n")
                file.write("width: [1.0]\n")
        case "latency table":
            return replace(settings, latency_version="tomorrow's")
        case "nas":
            monkeypatch.setattr("nas.forking.__version__", "9.9")
    return settings


@pytest.mark.parametrize("what", ["space", "latency table", "nas"])
def test_a_study_that_rests_on_something_else_now_says_so_and_can_be_forked(store, settings, what, monkeypatch):
    first = run(store, settings, name="mine")
    settings = replace(changed(what, settings, monkeypatch), trials=6)
    with pytest.raises(StudyError, match=rf"study 'mine' was begun with another {what} \(.*, now .*--fork"):
        run(store, settings, name="mine")
    assert store.study_summary("mine") == first.counts  # as it was
    before = Untrained.evaluated
    forked = run(store, settings, name="mine", fork=True)
    assert forked.study == "mine-2"
    record = store.study("mine-2")
    assert (record.fork_of, record.inherited) == ("mine", 4)
    assert forked.counts[TrialState.COMPLETE] == 6
    assert Untrained.evaluated == before + 2  # the others were trained before
    old, new = store.trials("mine"), store.trials("mine-2")
    assert [s.trial.proposal for s in new[:4]] == [s.trial.proposal for s in old]
    assert [s.source for s in new] == [*(s.id for s in old), None, None]
    assert {s.latency_version for s in new} == {settings.latency_version}
    assert run(store, settings, name="mine", fork=True).study == "mine-2"  # goes on, and has all its trials
    assert Untrained.evaluated == before + 2


def test_a_study_that_is_only_named_as_a_fork_is_none(store, settings):
    run(store, settings, name="mine")
    run(store, replace(settings, seed=7), name="mine-2")
    later = replace(settings, latency_version="tomorrow's", trials=6)
    assert run(store, later, name="mine", fork=True).study == "mine-3"
    assert (store.study("mine-3").fork_of, store.study("mine-2").fork_of) == ("mine", None)
    assert run(store, later, name="mine", fork=True).study == "mine-3"  # goes on


def test_other_options_are_told_of_before_what_a_fork_could_help_with(store, settings):
    run(store, settings, name="mine")
    with pytest.raises(StudyError, match="begun with seed=0, not 1"):
        run(store, replace(settings, seed=1, latency_version="tomorrow's"), name="mine")


def test_other_images_in_the_folder_are_another_study(store, settings):
    run(store, replace(settings, data_version="of monday"), name="mine")
    with pytest.raises(StudyError, match="'mine' was begun with other images in the folder"):
        run(store, replace(settings, data_version="of tuesday"), name="mine")
    assert replace(settings, data_version="of tuesday").study_name != settings.study_name
    recorded = {key: value for key, value in asdict(settings).items() if key != "data_version"}
    store.create_study("old", recorded)  # as it was before there was one
    assert run(store, replace(settings, data_version="of monday"), name="old").counts[TrialState.COMPLETE] == 4


def test_a_fork_is_made_of_something(store, settings):
    with pytest.raises(StudyError, match="no study 'mine' to start from"):
        run(store, settings, name="mine", fork=True)
    run(store, settings, name="mine")
    assert run(store, settings, name="mine", fork=True).study == "mine"  # nothing has changed: it goes on
    with pytest.raises(StudyError, match="begun with data='digits', not"):
        run(store, replace(settings, data="cifar10", latency_version="new"), name="mine", fork=True)


def test_networks_that_the_new_space_does_not_have_stay_behind(store, settings, tmp_path):
    run(store, replace(settings, trials=6), name="mine")
    (tmp_path / "space.yaml").write_text(SIX_NETWORKS.replace("[8, 16, 24]", "[8, 32]"))
    forked = run(store, replace(settings, trials=4), name="mine", fork=True)
    new = store.trials(forked.study)
    assert [s.source is None for s in new] == [False, False, True, True]  # of 8 channels two, with other kernels
    assert {s.trial.proposal.architecture.blocks[0].channels for s in new[2:]} == {32}


def test_a_folder_of_other_images_is_another_training(tmp_path):
    for kind in "ab":
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "1.png").write_bytes(b"an image")
    data = f"imagefolder:{tmp_path}"
    before = fidelity(data, "proxy", {}, {"nas": "1", "torch": "2", "numpy": "3"})
    assert fidelity(data, "proxy", {}, {"nas": "1", "torch": "2", "numpy": "4"}) == before
    assert fidelity(data, "proxy", {}, {"nas": "1", "torch": "3"}) != before
    (tmp_path / "a" / "2.png").write_bytes(b"another")
    assert fidelity(data, "proxy", {}, {"nas": "1", "torch": "2"}) != before


@pytest.mark.parametrize("model", ["today's", "yesterday's"])
def test_a_fork_neither_mixes_models_of_accuracy_nor_tries_a_network_twice(store, model):
    space = "mnasnet_imagenet"
    today = SearchSettings(
        budget_ms=60.0, proxy=None, target="pixel1", latency_version=PIXEL1.version, space=space, data=None,
        evaluator="predictor", accuracy_version=accuracy_version(space, None), strategy="ranking", trials=20,
    )  # fmt: skip
    then = {"yesterday's": replace(today, accuracy_version="yesterday's"), "today's": today}[model]
    old = run(store, then, name="mine")
    now = replace(today, latency_version="tomorrow's", trials=40)
    forked = run(store, now, name="mine", fork=True)
    new = store.trials(forked.study)
    assert sum(s.source is not None for s in new) == (20 if model == "today's" else 0)
    assert len({s.trial.proposal.architecture.id for s in new}) == len(new) == 40
    assert {s.versions["accuracy_model"] for s in new} == {today.accuracy_version}
    assert old.counts[TrialState.COMPLETE] == 20
