"""The sink of layer 4: found where it was put, and rarely in noise."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage, signal

from vbn.anatomy.layer4_sink import SinkParameters, highest_cortical_site, layer4_sink
from vbn.errors import SettingError

RATE_HZ = 2500.0
TIMES = np.arange(-0.1, 0.25 - 1e-9, 1 / RATE_HZ)
SITES = np.arange(1900.0, 3400.0, 20.0)
SURFACE = 3000.0


def noise(rng: np.random.Generator, smooth: float = 2.5) -> np.ndarray:
    """Return what the release's filter (5 to 150 Hz) and interpolated sites leave of noise."""
    filtered = signal.butter(5, [5, 150], btype="band", fs=RATE_HZ)
    values = signal.filtfilt(*filtered, rng.standard_normal((TIMES.size + 1000, SITES.size)), axis=0)
    return ndimage.gaussian_filter1d(values[500 : 500 + TIMES.size], smooth, axis=1)


def bump(place_um: float, time_s: float, width_um: float = 40.0, width_s: float = 0.004) -> np.ndarray:
    of_time = np.exp(-(((TIMES - time_s) / width_s) ** 2) / 2)
    return np.outer(of_time, np.exp(-(((SITES - place_um) / width_um) ** 2) / 2))


@pytest.mark.parametrize("depth_um", [80.0, 350.0, 620.0])
def test_a_sink_is_found_in_noise_where_it_is(depth_um: float) -> None:
    rng = np.random.default_rng(int(depth_um))
    values = noise(rng)
    values += 15 * values.std() * bump(SURFACE - depth_um, 0.045)
    found = layer4_sink(values, TIMES, SITES, SURFACE)
    assert found is not None
    assert abs(found.vertical_um - (SURFACE - depth_um)) <= 30
    assert abs(found.time_s - 0.045) <= 0.005
    assert found.strength > 10 * values.std()


@pytest.mark.parametrize("smooth", [1.0, 2.5, 5.0])
def test_noise_has_few_sinks(smooth: float) -> None:
    rng = np.random.default_rng(7)
    found = [layer4_sink(noise(rng, smooth), TIMES, SITES, SURFACE) for _ in range(100)]
    assert sum(each is not None for each in found) <= 7


def test_an_earlier_sink_counts_and_of_those_that_begin_with_it_the_strongest() -> None:
    values = 0.01 * noise(np.random.default_rng(0))
    early, strong, later = bump(2700, 0.04), 3 * bump(2600, 0.05), 9 * bump(2500, 0.075)
    found = layer4_sink(values + early + strong + later, TIMES, SITES, SURFACE)
    assert found is not None
    assert (found.vertical_um, round(found.time_s, 2)) == (2600, 0.05)


def test_what_is_no_sink_of_layer_4_is_none() -> None:
    """A source, a sink above the surface, too deep, too early or too late; nothing, or too little."""
    quiet = 0.01 * noise(np.random.default_rng(1))
    for other in (
        -5 * bump(2700, 0.05), bump(3300, 0.05), bump(2000, 0.05), bump(2700, 0.01), bump(2700, 0.15),
    ):  # fmt: skip
        assert layer4_sink(quiet + other, TIMES, SITES, SURFACE) is None
    strong = quiet + bump(2700, 0.05)
    assert layer4_sink(strong, TIMES, SITES, SURFACE) is not None
    assert layer4_sink(np.zeros_like(quiet), TIMES, SITES, SURFACE) is None
    assert layer4_sink(strong, TIMES + 1, SITES, SURFACE) is None
    assert layer4_sink(strong, TIMES, SITES, -10.0) is None
    assert layer4_sink(strong[:0], TIMES[:0], SITES, SURFACE) is None
    assert layer4_sink(strong[:, :0], TIMES, SITES[:0], SURFACE) is None


def test_sites_that_were_not_measured_are_left_out_and_their_order_does_not_matter() -> None:
    values = 0.01 * noise(np.random.default_rng(2)) + bump(2700, 0.05)
    wanted = layer4_sink(values, TIMES, SITES, SURFACE)
    order = np.random.default_rng(3).permutation(SITES.size)
    assert layer4_sink(values[:, order], TIMES, SITES[order], SURFACE) == wanted
    values[:, SITES == 2820] = np.nan
    found = layer4_sink(values, TIMES, SITES, SURFACE)
    assert found is not None
    assert wanted is not None
    assert found.vertical_um == wanted.vertical_um
    with pytest.raises(ValueError, match="times and"):
        layer4_sink(values.T, TIMES, SITES, SURFACE)


def test_the_surface_is_the_highest_site_in_a_visual_area() -> None:
    names = ["CA1", "VISp", "VISp", None, "VISC"]
    sites = pd.DataFrame(
        {"structure_acronym": names, "probe_vertical_position": [20, 1000, 1500, 2000, 2500]}
    )
    assert highest_cortical_site(sites) == 1500
    assert highest_cortical_site(sites[sites["structure_acronym"] != "VISp"]) is None
    assert highest_cortical_site(sites[:0]) is None


@pytest.mark.parametrize(
    "changed",
    [{"window_start_s": 0.09}, {"window_start_s": -0.1}, {"n_deviations": 0.0}, {"deepest_um": float("nan")}],
)
def test_parameters_out_of_range_are_refused(changed: dict[str, float]) -> None:
    with pytest.raises(SettingError):
        dataclasses.replace(SinkParameters(), **changed)
