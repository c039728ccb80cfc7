"""Readings beside the sentinel of a board: taken again when the board was not quiet, and not for ever."""

import math

import pytest

from nas.latency.remote import RETRIES, measure_board
from nas.latency.ssh import SENTINEL, LinkError
from nas.latency.table import as_deployed
from nas.layers import lower
from tests.test_latency_remote import NETWORKS, TOTAL


class Link:
    """A board without a wire: the nth reading of all comes with what `sentinel_ms(n)` says, and is that slow."""

    def __init__(self, sentinel_ms):
        self.sentinel_ms = sentinel_ms
        self.readings = {}  # by name
        self.count = 0

    def __str__(self):
        return "test://board"

    def run(self, models):
        yield {"device": "Board", "runtime_version": "1", "core": "any"}
        (first, _), *others = list(models)
        assert first == SENTINEL
        for name, model in others:
            slow = self.sentinel_ms(self.count)
            if slow is None:
                self.count += 1
                raise LinkError(f"{self}: lost")
            self.readings.setdefault(name, []).append(slow)
            yield {"name": name, "ms": len(model) / 1e3 * slow, "spread": 0.0, "sentinel_ms": float(slow)}
            self.count += 1


def fill(link, folder):
    model = measure_board(link, folder, [], architectures=NETWORKS, pause_s=0.0)
    return model, model.device.provenance[0].get("note")


def times(link):
    """How often each model was read."""
    return {name: len(found) for name, found in link.readings.items() if name != "call"}


def test_a_quiet_board_is_read_once(tmp_path):
    link = Link(lambda n: 1.0 + 0.05 * (n % 2))
    _, note = fill(link, tmp_path / "b")
    assert set(times(link).values()) == {1}
    kept = f"0 of {TOTAL} ops and networks kept although the board was not quiet"
    assert note == f"sentinel 1.0000 ms; 0 readings taken again; {kept}"


def test_what_was_read_while_the_board_was_busy_is_read_again(tmp_path):
    link = Link(lambda n: 1.3 if 5 <= n < 10 else 1.0)
    _, note = fill(link, tmp_path / "b")
    assert sorted(times(link).values()) == [1] * (TOTAL - 5) + [2] * 5
    assert all(found[-1] == 1.0 for found in link.readings.values())
    assert "5 readings taken again; 0 of" in note


def test_what_a_quieter_board_proves_slow_is_read_again(tmp_path):
    """The first readings set the best, until the board becomes quiet for the first time."""
    link = Link(lambda n: 1.3 if n < 8 else 1.0)
    quiet, _ = fill(Link(lambda n: 1.0), tmp_path / "quiet")
    found, note = fill(link, tmp_path / "b")
    assert sorted(times(link).values()) == [1] * (TOTAL - 7) + [2] * 7  # the eighth was the call
    assert "7 readings taken again; 0 of" in note
    assert found.estimate(NETWORKS[2]).ms == pytest.approx(
        quiet.estimate(NETWORKS[2]).ms, rel=1e-3
    )  # the call was slow


def test_a_board_that_is_never_quiet_again_is_measured_in_bounded_time_and_said_to_be(tmp_path):
    link = Link(lambda n: 1.0 if n < 3 else 1.5)  # it grew hot
    _, note = fill(link, tmp_path / "b")
    assert max(times(link).values()) <= 1 + RETRIES
    assert sum(times(link).values()) == TOTAL + math.ceil(TOTAL / 2)
    assert f"{math.ceil(TOTAL / 2)} readings taken again; {TOTAL - 2} of {TOTAL} ops and networks kept although" in note


def test_a_link_that_breaks_among_disturbed_readings_is_not_given_up(tmp_path):
    """Each connection brings disturbed readings alone, which is no standstill."""
    link = Link(lambda n: None if n % 3 == 2 else 1.0 if n in {0, 1} or n > 20 else 1.5)
    fill(link, tmp_path / "b")
    assert len(times(link)) == len({as_deployed(op) for net in NETWORKS for op in lower(net)}) + len(NETWORKS)
