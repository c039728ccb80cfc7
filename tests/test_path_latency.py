"""What is expected of cuts, after predictions and after measurements."""

import pytest

from nas.network.widths import with_widths
from nas.space import load_reference
from nas.strategies.path_latency import PathLatency

SEED = load_reference("mobilenet_v2_035")
FIRST, SECOND = with_widths(SEED, {2: 24}), with_widths(SEED, {2: 8})
PREDICTED = {SEED: 10.0, FIRST: 8.0, SECOND: 7.0}


def path(measured=None) -> PathLatency:
    return PathLatency(PREDICTED.__getitem__, measured and measured.__getitem__)


def test_predictions_alone_stay_as_they_are():
    latency = path()
    assert [latency.push(network) for network in (SEED, FIRST)] == [10.0, 8.0]
    assert (latency.expected(7.3), latency.target(6.1)) == (7.3, 6.1)


def test_a_cut_is_expected_to_save_what_the_last_one_did():
    latency = path({SEED: 5.0, FIRST: 3.0, SECOND: 2.5})
    latency.push(SEED)
    assert latency.expected(8.0) == pytest.approx(4.0)  # half of what is predicted, as of the seed
    latency.push(FIRST)
    assert latency.expected(7.0) == pytest.approx(2.0)  # a millisecond for one
    assert latency.expected(latency.target(1.5)) == pytest.approx(1.5)


def test_what_was_learnt_of_a_network_that_is_taken_back_stays():
    latency = path({SEED: 5.0, FIRST: 4.0, SECOND: 3.25})
    for network in (SEED, FIRST, SECOND):
        latency.push(network)
    latency.pop()
    assert latency.expected(7.0) == pytest.approx(3.25)


@pytest.mark.parametrize(("ms", "slope"), [(5.2, 0.25), (0.5, 1.0)])
def test_a_change_that_is_far_off_is_noise(ms, slope):
    latency = path({SEED: 5.0, FIRST: ms})
    latency.push(SEED)
    latency.judge(FIRST)
    assert latency.expected(9.0) == pytest.approx(5.0 - slope)
