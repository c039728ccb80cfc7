"""Pictures for papers and READMEs: what is on them, looked at before they are saved."""

import json
from pathlib import Path

import pytest

from nas.errors import NasError
from nas.latency.targets import load_target
from nas.report import comparison, front
from nas.report.drawing import load_device
from nas.report.references import published_ms
from nas.space import load_reference
from nas.store.store import Store
from tests.report_helpers import BUDGET_MS, make_database

RECORD = json.loads((Path(__file__).parents[1] / "runs" / "rediscover_small" / "report.json").read_text())


@pytest.fixture
def drawn(monkeypatch):
    """Figures that would have been saved, laid out."""
    figures = []

    def keep(figure, path):
        figure.draw_without_rendering()
        figures.append(figure)

    for module in (comparison, front):
        monkeypatch.setattr(module, "save_picture", keep)
    return figures


def test_published_networks_are_those_of_the_studys_classes():
    found = published_ms(load_device("pixel1"), 10)
    known = load_reference("mobilenet_v3_small")
    model = load_target("pixel")
    assert found["V3-Small"] == pytest.approx(model.estimate(known.with_num_classes(10)).ms)
    assert found["V3-Small"] < model.estimate(known).ms - 0.1


@pytest.mark.parametrize("fastest", [True, False])
def test_the_name_of_the_best_network_lies_within_the_axes(tmp_path, drawn, fastest):
    make_database(tmp_path / "trials.db")
    with Store.open_existing(f"sqlite:///{tmp_path}/trials.db") as store:
        members = store.front(["first"], max_latency_ms=BUDGET_MS)
        points = store.points(["first"])
    assert len(members) > 1
    shown = members[:1] if fastest else members  # of the front that is shown the last one is the best
    kept = points[:, 1] >= members[0].latency_ms if fastest else points[:, 1] <= members[-1].latency_ms
    front.plot_front(points[kept], shown, tmp_path / "front.png", budget_ms=BUDGET_MS)
    (axes,) = drawn[0].axes
    (name,) = (text for text in axes.texts if text.get_text().startswith(f"trial:{shown[-1].id} "))
    inside, label = axes.get_window_extent(), name.get_window_extent()
    assert inside.x0 <= label.x0 < label.x1 <= inside.x1


def test_a_comparison_shows_each_network_and_each_ablation(tmp_path, drawn):
    comparison.plot_comparison(RECORD, tmp_path / "report.png")
    networks, ablations = drawn[0].axes
    names = [label.get_text().partition("\n")[0] for label in networks.get_yticklabels()]
    assert names == [one["name"] for one in RECORD["networks"]]
    means = [line.get_xdata()[0] for line in networks.lines if len(line.get_xdata()) == 1]
    assert means == pytest.approx([100 * one["test_accuracy"]["mean"] for one in RECORD["networks"]])
    bars = [line.get_xdata() for line in ablations.lines[1:] if len(line.get_xdata()) == 2]
    assert [list(bar) for bar in bars] == [
        pytest.approx([100 * one["change_low"], 100 * one["change_high"]]) for one in RECORD["ablations"]["rows"]
    ]
    assert len(ablations.get_yticklabels()) == len(bars)
    assert [line.get_marker() for line in networks.lines if len(line.get_xdata()) == 1] == ["*", "D", "D", "D", "D"]


def test_a_comparison_without_ablations_and_with_failures_is_drawn(tmp_path, drawn):
    first, *others = RECORD["networks"]
    first = {**first, "test_accuracies": [None, *first["test_accuracies"][1:]]}
    record = {**RECORD, "networks": [first, *others], "ablations": {"of": "found", "rows": []}}
    comparison.plot_comparison(record, tmp_path / "report.png")
    (axes,) = drawn[0].axes
    assert [len(dots.get_offsets()) for dots in axes.collections] == [2, 3, 3, 3, 3]


@pytest.mark.parametrize(("file", "message"), [("no/report.png", "No such file"), ("report.bmpx", "bmpx")])
def test_a_picture_that_cannot_be_saved_is_an_error_of_one_line(tmp_path, file, message):
    with pytest.raises(NasError, match=message):
        comparison.plot_comparison(RECORD, tmp_path / file)
