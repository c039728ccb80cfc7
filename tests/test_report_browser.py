"""The page of `nas report` in Chromium: what a person clicks and types. Skipped where there is no Chromium."""

import csv
import io
import json
from pathlib import Path

import pytest

from nas.report.compared import read_run
from nas.report.content import page_content
from nas.report.html import write_page
from nas.store.store import Store
from nas.strategies.netadapt_settings import every
from tests.browser import browser, chromium
from tests.report_helpers import HOSTILE, make_database, make_poor_database
from tests.test_docs import EXAMPLES
from tests.test_report_parts import adapted


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    with Store.open(make_database(tmp_path_factory.mktemp("report") / "trials.db")) as store:
        return page_content(store, [])


@pytest.fixture(scope="module")
def file(content, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_page(content, path)
    return path


@pytest.fixture(scope="module")
def chrome(tmp_path_factory):
    if chromium() is None:
        pytest.skip("chromium is not installed")
    with browser(tmp_path_factory.mktemp("browser") / "profile") as page:
        yield page


@pytest.fixture
def page(chrome, file):
    """The page, freshly loaded; nothing may be complained of, and nothing asked for but the file itself."""
    chrome.run("try { localStorage.clear() } catch {}")
    chrome.complaints.clear()
    chrome.requests.clear()
    chrome.open(file)
    yield chrome
    chrome.run("1")  # so that everything that was to be said has been heard
    assert chrome.complaints == []
    assert [name for name in chrome.requests if not name.startswith(("file:", "blob:", "data:"))] == []


def place_of(page, content, trial):
    """Where a trial's mark lies in the window, computed from two labels of each axis."""
    labels = page.run("""[...document.querySelectorAll('#front-plot svg text')].map((t) => {
        const b = t.getBoundingClientRect();
        return [t.textContent, t.getAttribute('text-anchor'), b.left + b.width / 2, b.top + b.height / 2, b.top];
    })""")
    bottom = max(label[4] for label in labels if label[0].replace(".", "").isdecimal())
    numbers = [label for label in labels if label[0].replace(".", "").isdecimal()]
    across = [(float(text), x) for text, anchor, x, _, top in numbers if anchor == "middle" and top > bottom - 3]
    upwards = [(float(text), y) for text, anchor, _, y, _ in numbers if anchor == "end"]
    figures = content["trials"]["latency"][trial], 100 * content["trials"]["accuracy"][trial]
    return [on_scale(points, value) for points, value in zip((across, upwards), figures, strict=True)]


def on_scale(points, value):
    (a, x), (b, y) = points[0], points[-1]
    return x + (value - a) / (b - a) * (y - x)


def test_the_page_opens_with_the_best_network_drawn(page, content):
    best = content["trials"]["id"][content["kinds"][0]["best"]]
    assert page.text("#network-title") == f"Network of trial:{best}"
    assert f"trial:{best}" in page.text("#lead")


def test_a_click_on_a_point_of_the_front_draws_its_network(page, content):
    kind, trials = content["kinds"][0], content["trials"]
    point = kind["front"][0]
    page.run("document.querySelector('#front-plot').scrollIntoView({block: 'center'})")
    page.click(*place_of(page, content, point))
    assert page.text("#network-title") == f"Network of trial:{trials['id'][point]}"
    drawn = page.run("[...document.querySelectorAll('.side.blocks')].filter((l) => l.ariaLabel.startsWith('trial:'))"
                     ".flatMap((l) => [...l.children]).map((b) => b.ariaLabel)")  # fmt: skip
    places = [content["devices"]["pixel1"]["places"][i] for i in trials["networks"][trials["network"][point]]]
    rows = [dict(zip(content["place"], place, strict=True)) for place in places]
    assert len(drawn) == len(rows)
    for text, row in zip(drawn, rows, strict=True):
        assert f": {row['op']}, " in text
        assert row["op"] != "mbconv" or f"{row['in']} → {row['mid']} → {row['out']}, kernel {row['kernel']}" in text
    assert f"{trials['latency'][point]:.2f}" in page.text(".byop tbody tr:last-child")


def test_a_point_under_the_pointer_says_what_it_is(page, content):
    point = content["kinds"][0]["front"][-1]
    page.run("document.querySelector('#front-plot').scrollIntoView({block: 'center'})")
    x, y = place_of(page, content, point)
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    said = page.text("#tip")
    assert f"trial:{content['trials']['id'][point]}" in said
    assert f"{100 * content['trials']['accuracy'][point]:.2f} %" in said


def test_the_front_can_be_walked_with_keys(page, content):
    front, ids = content["kinds"][0]["front"], content["trials"]["id"]
    page.run("document.querySelector('#front-plot').focus()")
    page.press("ArrowLeft")
    assert f"trial:{ids[front[-2]]}" in page.text("#tip")
    assert f"trial:{ids[front[-2]]}" in page.run("document.querySelector('#said').textContent")
    page.press("Enter")
    assert page.text("#network-title") == f"Network of trial:{ids[front[-2]]}"
    page.press("Escape")
    assert page.text("#network-title") == f"Network of trial:{ids[front[-1]]}"


def test_the_tab_key_reaches_every_part_and_shows_where_it_is(page):
    seen, outlines = [], []
    for _ in range(200):
        page.press("Tab")
        seen.append(page.run("document.activeElement.closest('section')?.id ?? document.activeElement.id"))
        outlines.append(page.run("getComputedStyle(document.activeElement).outlineStyle"))
        if seen[-1] == "trials":
            break
    assert {"theme", "front", "network", "trials"} <= set(seen)
    assert set(outlines) == {"solid"}


def test_keys_go_from_block_to_block_and_say_what_it_costs(page):
    page.run("document.querySelector('.blocks:not(.other) > li').focus()")
    page.press("ArrowDown")
    assert page.run("document.activeElement.dataset.block") == "1"
    assert page.text("#tip").startswith("block 1: ")
    page.press("Escape")
    assert page.run("document.querySelector('#tip').hidden")


def test_the_filter_leaves_what_it_says(page, content):
    trials = content["trials"]
    wanted = [
        trials["id"][i]
        for i, (study, ms) in enumerate(zip(trials["study"], trials["latency"], strict=True))
        if study < 2 and ms < 45 and trials["state"][i] == "complete"
    ]
    page.run("document.querySelector('#filter').focus()")
    page.type("latency<45 complete")
    shown = page.run("[...document.querySelectorAll('#table tbody tr')].map((row) => Number(row.dataset.trial))")
    assert sorted(shown) == wanted
    accuracy = dict(zip(trials["id"], trials["accuracy"], strict=True))
    assert [accuracy[id] for id in shown] == sorted((accuracy[id] for id in shown), reverse=True)


def test_a_filter_that_is_none_says_so(page):
    page.run("document.querySelector('#filter').focus()")
    page.type("speed<45")
    assert "speed has no numbers to compare; expected one of trial, accuracy" in page.text("#filter-error")


def test_a_heading_sorts_both_ways(page):
    page.click_on("th[data-column=latency] button")
    down = page.run(
        "[...document.querySelectorAll('#table tbody tr td:nth-child(5)')].map((c) => Number(c.textContent))"
    )
    assert down == sorted(down, reverse=True)
    assert page.run("document.querySelector('th[data-column=latency]').ariaSort") == "descending"
    page.press("Enter")  # the heading has kept the focus
    up = page.run("[...document.querySelectorAll('#table tbody tr td:nth-child(5)')].map((c) => Number(c.textContent))")
    assert up == down[::-1]


def test_a_row_of_the_table_draws_its_network(page):
    first = page.run("document.querySelectorAll('#table tbody tr')[3].dataset.trial")
    page.click_on("#table tbody tr:nth-child(4)")
    assert page.text("#network-title") == f"Network of trial:{first}"
    page.press("ArrowDown", "Enter")
    second = page.run("document.activeElement.dataset.trial")
    assert second != first
    assert page.text("#network-title") == f"Network of trial:{second}"


def test_the_csv_holds_the_rows_that_the_filter_left(page, content):
    page.run("""(() => {
        const make = URL.createObjectURL;
        URL.createObjectURL = (blob) => { window.saved = blob.text(); return make(blob); };
    })()""")
    page.click_on("#kinds button:nth-child(2)")
    page.click_on("#csv")
    lines = list(csv.DictReader(io.StringIO(page.run("window.saved"), newline="")))
    trials = content["trials"]
    expected = [i for i, study in enumerate(trials["study"]) if study == 2]
    assert sorted(int(line["trial"]) for line in lines) == [trials["id"][i] for i in expected]
    assert {line["study"] for line in lines} == {HOSTILE}
    assert {float(line["latency_ms"]) for line in lines} == {trials["latency"][i] for i in expected}


def test_light_and_dark_follow_the_system_and_the_button(page, file):
    colour = "getComputedStyle(document.body).backgroundColor"
    light = page.run(colour)
    page.click_on("#theme")
    dark = page.run(colour)
    assert light != dark
    assert page.run("document.querySelector('#theme').getAttribute('aria-pressed')") == "true"
    page.run("localStorage.clear()")
    page.open(file, dark=True)
    assert page.run(colour) == dark


def test_another_network_can_be_set_beside(page, content):
    index = [reference["name"] for reference in content["kinds"][0]["references"]].index("mobilenet_v2")
    page.run(f"document.querySelector('#beside').value = {index}")
    page.run("document.querySelector('#beside').dispatchEvent(new Event('change'))")
    assert page.text("#beside-name").startswith("MobileNetV2\n")


def test_names_of_studies_are_text_and_nothing_else(page):
    page.click_on("#kinds button:nth-child(2)")
    assert page.run("document.querySelector('#title').textContent") == HOSTILE
    assert HOSTILE in page.run("document.querySelector('#provenance').textContent")
    assert page.run("document.querySelectorAll('img').length") == 0


@pytest.mark.parametrize("study", ["without settings", "nothing judged", "one trial"])
def test_a_study_that_lacks_nearly_everything_has_a_page(page, tmp_path, study):
    poor = tmp_path / "poor.html"
    with Store.open(make_poor_database(tmp_path / "trials.db")) as store:
        write_page(page_content(store, [study]), poor)
    page.open(poor)
    assert page.text("#title") == study
    assert page.run("document.querySelectorAll('#table tbody tr').length") == 1
    page.run("document.querySelector('#front-plot').focus()")
    page.press("ArrowUp", "ArrowLeft", "Enter", "Escape")


def test_networks_that_a_run_compared_are_shown_with_trainings_that_failed(page, content, tmp_path):
    record = json.loads(json.dumps(EXAMPLES["run STUDY --json"]))
    record["networks"][0]["test_accuracies"][1] = None
    (tmp_path / "report.json").write_text(json.dumps(record))
    write_page({**content, "runs": [read_run(tmp_path / "report.json")]}, tmp_path / "run.html")
    page.open(tmp_path / "run.html")
    assert page.run("document.querySelector('#compared').hidden") is False
    assert "found (1 of 3 trainings failed)" in page.text("#compared-body table")
    heads = page.run(
        "[...document.querySelectorAll('#compared-body thead')].map((head) => head.querySelectorAll('th').length)"
    )
    assert heads == [6, 3, 5]
    assert page.run("document.querySelectorAll('#compared-body svg circle[r=\"2.5\"]').length") == 2


def test_the_path_of_netadapt_is_a_table_of_its_steps(page, tmp_path):
    with Store.open(tmp_path / "trials.db") as store:
        with store.batch():
            strategy = adapted(store, "netadapt", every(1), final_epochs=0)
        write_page(page_content(store, []), tmp_path / "path.html")
    page.open(tmp_path / "path.html")
    assert page.run("document.querySelectorAll('#path-body thead th').length") == 10
    assert page.run("document.querySelectorAll('#path-body tbody tr').length") == len(strategy.path) - 1


@pytest.mark.parametrize(("width", "phone"), [(1280, False), (360, True)])
def test_names_of_what_was_compared_and_left_out_are_whole(page, content, tmp_path, width, phone):
    record = read_run(Path(__file__).parents[1] / "runs" / "rediscover_small" / "report.json")
    write_page({**content, "runs": [record]}, tmp_path / "run.html")
    page.open(tmp_path / "run.html", width=width, height=740, phone=phone)
    shown = page.run("""[...document.querySelectorAll('#compared-body svg text[text-anchor=end]')].map((text) => [
        text.textContent, text.getBoundingClientRect().left - text.closest('svg').getBoundingClientRect().left])""")
    names = [name for name, _ in shown]
    assert names[0] == "found"
    assert names[len(record["networks"]) :] == [row["name"] for row in record["ablations"]["rows"]]
    assert [name for name, left in shown if left < 0] == []


@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_shows_the_page_without_scrolling_sideways(page, file, dark):
    page.open(file, width=360, height=740, dark=dark, phone=True)
    assert page.run("document.documentElement.scrollWidth") <= 360
    wide = page.run(
        "[...document.querySelectorAll('section')].filter((s) => s.getBoundingClientRect().right > 361).length"
    )
    assert wide == 0


def test_text_stands_out_from_its_background_in_light_and_dark(page, file):
    for dark in (False, True):
        page.open(file, dark=dark)
        names = ["card", "ink", "muted", "front", "best", "budget", "se"]
        style = "getComputedStyle(document.documentElement)"
        colours = {name: page.run(f"{style}.getPropertyValue('--{name}').trim()") for name in names}
        for name in ("ink", "muted", "front", "best", "budget"):
            assert contrast(colours[name], colours["card"]) >= 4.5, (dark, name)
        assert contrast(colours["se"], colours["card"]) >= 3, dark


def contrast(first, second):
    """Ratio of luminances, WCAG 2.2: 4.5 is the least for text, 3 for marks."""
    low, high = sorted(map(luminance, (first, second)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
