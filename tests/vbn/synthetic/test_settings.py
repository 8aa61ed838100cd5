"""Settings are checked all at once; identifiers are outside the release's and never shared."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from vbn.synthetic import SyntheticSettings
from vbn.synthetic.settings import PROBE_LETTERS, generator, session_identity


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sessions", 0),
        ("sessions", 2.0),
        ("sessions", True),
        ("seed", -1),
        ("probes", 7),
        ("units_per_probe", 0),
        ("minutes", 1.9),
        ("minutes", 161),
        ("minutes", float("nan")),
        ("minutes", "8"),
        ("genotype", ()),
        ("genotype", ("pvalb",)),
        ("genotype", "sst"),
        ("mean_rate_hz", 0.0),
        ("mean_rate_hz", float("inf")),
        ("template_shape", (60,)),
        ("template_shape", (4, 96)),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_with_its_value(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"{name} must be .*not "):
        SyntheticSettings(**{name: value})


def test_all_problems_stand_in_one_message() -> None:
    with pytest.raises(ValueError, match=r"sessions.*seed.*probes.*minutes.*genotype"):
        SyntheticSettings(sessions=-1, seed=-1, probes=0, minutes=0, genotype=("x",))


def test_the_size_of_a_real_session_is_accepted() -> None:
    settings = SyntheticSettings(probes=6, units_per_probe=360, minutes=160, mean_rate_hz=3.6)
    assert settings.minutes == 160


def test_a_mouse_is_recorded_on_two_consecutive_days_first_familiar_then_novel() -> None:
    settings = SyntheticSettings(sessions=40)
    for mouse in range(20):
        first, second = (session_identity(settings, 2 * mouse + day) for day in (0, 1))
        assert first.mouse_id == second.mouse_id == str(990_001 + mouse)
        assert (first.experience_level, second.experience_level) == ("Familiar", "Novel")
        assert (first.image_set, second.image_set) == ("G", "H")
        assert second.age_days == first.age_days + 1
        assert second.start.date() - first.start.date() == timedelta(days=1)
        assert second.genotype == first.genotype == ("sst", "vip", "wt")[mouse % 3]


def test_identifiers_are_unique_over_the_data_set_and_outside_the_releases() -> None:
    settings = SyntheticSettings(sessions=30, probes=6)
    seen: list[int] = []
    for index in range(30):
        identity = session_identity(settings, index)
        seen += [identity.session_id, identity.behavior_session_id]
        for probe in range(6):
            seen += [identity.probe_id(probe), *identity.channel_ids(probe), *identity.unit_ids(probe, 5000)]
    assert len(set(seen)) == len(seen)
    assert min(seen) > 9_000_000_000


def test_probes_are_named_from_a_on() -> None:
    identity = session_identity(SyntheticSettings(probes=6), 0)
    assert identity.probe_names == tuple(f"probe{letter}" for letter in PROBE_LETTERS)


def test_streams_of_random_numbers_differ_and_repeat() -> None:
    settings = SyntheticSettings(seed=5)
    draws = {
        key: generator(settings, *key).random(4).tobytes() for key in [(0, 1), (0, 2), (1, 1), (1, 2, 0)]
    }
    assert len(set(draws.values())) == 4
    assert np.array_equal(generator(settings, 0, 1).random(4), np.frombuffer(draws[0, 1]))
