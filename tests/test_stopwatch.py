"""Latencies by stage: which messages are sampled, and what is refused. Runs with a stopwatch are in test_engine."""

import pytest

from fastcore.stopwatch import STAGE_NAMES, Stopwatch


def test_stages_have_their_names_and_are_empty_at_first():
    watch = Stopwatch()
    assert tuple(watch.stages) == STAGE_NAMES
    assert all(histogram.count == 0 for histogram in watch.stages.values())
    assert repr(watch) == "Stopwatch(sample_every=256: nothing sampled)"


def test_stages_are_those_that_the_loop_knows():
    with pytest.raises(TypeError):
        del Stopwatch().stages["total"]


@pytest.mark.parametrize("every", [-1, (1 << 40) + 1])
def test_rate_out_of_range_states_the_rule(every):
    with pytest.raises(ValueError, match=rf"sample_every must be in 0\.\.{1 << 40}: sample_every={every}"):
        Stopwatch(every)


def test_rate_is_a_whole_number():
    with pytest.raises(TypeError):
        Stopwatch(1.5)
