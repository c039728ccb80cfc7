"""`nas report`: what a page holds, without a browser."""

import json
import re

import pytest
from click.testing import CliRunner

from nas.cli.main import nas
from nas.errors import NasError, StudyError
from nas.report.content import page_content
from nas.report.html import embedded, render
from nas.space import load_reference
from nas.store.store import Store
from tests.report_helpers import BUDGET_MS, HOSTILE, make_database, networks, record_study


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    return make_database(tmp_path_factory.mktemp("report") / "trials.db")


@pytest.fixture(scope="module")
def content(url):
    with Store.open(url) as store:
        return page_content(store, [])


def test_studies_that_mean_different_things_are_different_kinds(content):
    assert [kind["studies"] for kind in content["kinds"]] == [[0, 1], [2]]


def test_the_front_of_a_page_is_that_of_the_store(content, url):
    with Store.open(url) as store:
        front = store.front(["first", "second"], max_latency_ms=BUDGET_MS)
    kind = content["kinds"][0]
    assert [content["trials"]["id"][i] for i in kind["front"]] == [stored.id for stored in front]
    assert content["trials"]["id"][kind["best"]] == front[-1].id


def test_ops_of_a_drawn_network_add_up_to_its_latency_and_its_madds(content):
    device, trials = content["devices"]["pixel1"], content["trials"]
    ops = content["place"].index("ops")
    extra = set()
    for network, ms, macs in zip(trials["network"], trials["latency"], trials["macs"], strict=True):
        rows = [device["ops"][op] for place in trials["networks"][network] for op in device["places"][place][ops]]
        assert sum(row[2] for row in rows) == macs
        extra.add(round(ms - sum(row[1] for row in rows), 2))
    assert len(extra) == 1, "what a network pays beyond its ops is the same for all"


def test_a_drawn_network_has_the_blocks_of_its_architecture(content):
    network = load_reference("mobilenet_v3_large").with_num_classes(10)
    places, keys = content["devices"]["pixel1"]["places"], content["place"]
    drawn = [dict(zip(keys, places[i], strict=True)) for i in content["trials"]["networks"][0]]
    assert [(p["op"], p["kernel"], p["mid"], p["out"], p["se"]) for p in drawn[2:4]] == [
        (("mbconv"), b.kernel, b.mid_channels, b.channels, b.se_channels) for b in network.blocks[2:4]
    ]
    assert drawn[-1]["op"] == "classifier"
    assert len(drawn) == len(network.blocks) + 1


def test_a_published_network_has_an_accuracy_only_where_a_trial_judged_it(content):
    judged = {reference["name"]: reference["trial"] for reference in content["kinds"][0]["references"]}
    assert judged.pop("mobilenet_v3_large") == 0
    assert set(judged.values()) == {None}


def test_nothing_that_a_user_named_is_markup(content):
    page = render(content)
    assert "alert(1)" in page
    assert page.count("<script") == page.count("</script>") == 2
    assert "<img src=x" not in page
    (text,) = re.findall(r'<script type="application/json" id="content">(.*?)</script>', page, re.DOTALL)
    assert json.loads(text)["studies"][2]["name"] == HOSTILE


def test_a_page_has_no_folder_of_the_machine_and_tells_data_apart_by_it(tmp_path):
    with Store.open(tmp_path / "t.db") as store:
        for number, folder in enumerate(("/home/me", "/mnt/big")):
            record_study(
                store, f"s{number}", networks(3), data=f"imagefolder:{folder}/photos", space="/home/me/own.yaml"
            )
        content = page_content(store, [])
    assert [kind["studies"] for kind in content["kinds"]] == [[0], [1]]
    assert {kind["judge"] for kind in content["kinds"]} == {"imagefolder:photos by proxy"}
    assert "--space own.yaml --data imagefolder:photos" in content["studies"][0]["command"]
    assert not re.search("/home|/mnt", embedded(content))


def test_embedded_json_has_no_sign_that_could_end_its_element():
    text = embedded({"name": HOSTILE})
    assert "<" not in text
    assert json.loads(text) == {"name": HOSTILE}


def test_a_page_asks_the_network_for_nothing(content):
    page = render(content).partition('<script type="application/json"')[0]
    assert "default-src 'none'" in page
    assert not re.findall(r"""(?:src|href)=["'](?!#|data:)""", page)


def test_a_page_and_a_picture_are_written(url, tmp_path):
    arguments = [
        "report",
        "first",
        "second",
        "--html",
        f"{tmp_path}/r.html",
        "--png",
        f"{tmp_path}/r.png",
        "--store",
        url,
        "--json",
    ]
    written = json.loads(CliRunner().invoke(nas, arguments, catch_exceptions=False).stdout)
    assert written["trials"] == 41
    assert (tmp_path / "r.html").stat().st_size == written["html"]["bytes"]
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["first"], NasError, "expected --html FILE or --png FILE"),
        (["absent", "--html", "r.html"], StudyError, "no study 'absent'"),
        (["first", "--html", "absent/r.html"], NasError, "absent/r.html: No such file"),
        (["first", HOSTILE, "--png", "r.png"], NasError, "cannot be compared"),
    ],
)
def test_a_report_that_cannot_be_written_is_one_line(url, tmp_path, monkeypatch, arguments, error, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        CliRunner().invoke(nas, ["report", *arguments, "--store", url], catch_exceptions=False)
    assert not list(tmp_path.glob("r.*"))


def test_a_database_without_trials_has_nothing_to_report(tmp_path):
    Store.open(tmp_path / "t.db").close()
    arguments = ["report", "--html", f"{tmp_path}/r.html", "--store", f"sqlite:///{tmp_path}/t.db"]
    with pytest.raises(NasError, match="no trial to report"):
        CliRunner().invoke(nas, arguments, catch_exceptions=False)


def test_a_report_of_an_absent_database_makes_none(tmp_path):
    arguments = ["report", "--html", f"{tmp_path}/r.html", "--store", f"sqlite:///{tmp_path}/t.db"]
    with pytest.raises(NasError, match=r"t\.db"):
        CliRunner().invoke(nas, arguments, catch_exceptions=False)
    assert list(tmp_path.iterdir()) == []
