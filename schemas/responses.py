"""Responses of units to changes, omissions, images, flashes and Gabors; running, pupil and cell classes."""

from __future__ import annotations

import functools
import operator
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from schemas import behavior, ecephys, optotagging, performance, psth, selection, session, stimulus  # noqa: F401
from schemas.bases.parameter_table import ParameterTable, definition_of
from schemas.bases.provenance import Computation, provenance_lines, seed_of
from schemas.reading.recordings import located_frame
from schemas.reading.session_frames import flashes_frame, licks_frame, presentations_frame, trials_frame
from schemas.reading.unit_measurement import UnitMeasurement, count_of_known
from schemas.rows.fetch import fetch_frame
from schemas.rows.insert import insert_rows, key_of_session, rows_from_frame
from schemas.server.datajoint import dj
from schemas.server.datajoint.binding import Schema
from vbn.analysis.optotagging import CELL_CLASSES, DEFAULT_METHOD, UNLABELLED, cell_class
from vbn.analysis.responses.change_response import ChangeResponseParameters, change_response
from vbn.analysis.responses.first_spike import FirstSpikeParameters, first_spike_latency
from vbn.analysis.responses.full_field_response import FullFieldResponseParameters, full_field_response
from vbn.analysis.responses.image_selectivity import ImageSelectivityParameters, image_selectivity
from vbn.analysis.responses.intrinsic_timescale import TIMESCALES, TimescaleParameters, intrinsic_timescale
from vbn.analysis.responses.novelty_response import (
    KINDS,
    NoveltyResponseParameters,
    mouse_novelty,
    novelty_response,
)
from vbn.analysis.responses.omission_response import OmissionResponseParameters, omission_response
from vbn.analysis.responses.published_response import OLDER, PublishedResponseParameters, published_response
from vbn.analysis.responses.receptive_field import ReceptiveFieldParameters, receptive_field
from vbn.analysis.responses.reliability import ReliabilityParameters, reliability
from vbn.analysis.responses.running_modulation import (
    StateModulationParameters,
    pupil_modulation,
    running_modulation,
)
from vbn.analysis.responses.variability import VariabilityParameters, variability
from vbn.analysis.spikes.population import area_summary
from vbn.analysis.task.flash_sets import select_flashes

schema = Schema()

Key = dict[str, Any]
EXPERIENCE = {"Familiar": "familiar_session_id", "Novel": "novel_session_id"}


def _lines(line: str) -> str:
    """Return a line of a definition for each kind of flashes that sessions are compared by."""
    words = {"nonshared": "of own images", "shared": "of shared images", "active": "in the task"}
    named = {kind: [words.get(word, word) for word in kind.split("_")] for kind in KINDS}
    return "\n    ".join(
        line.format(kind=kind, words=f"{flash}s {images} {block}".replace("passive", "in the replay"))
        for kind, (flash, images, block) in named.items()
    )


class CountingMeasurement(UnitMeasurement):
    """A measurement that counts spikes around presentations: where the counts are stored, it reads them."""

    spikes = staticmethod(psth.PresentationCounts.session_spikes)


@schema
class ChangeResponseParams(ParameterTable):
    """One set of windows and thresholds of the change response."""

    method_version = 2  # which changes are measured on is part of the content
    settings = ChangeResponseParameters
    defaults = {"siegle_2021_bennett_2025": ChangeResponseParameters()}
    definition = definition_of(
        "change_response",
        "the change response",
        "vbn.analysis.responses.change_response.ChangeResponseParameters",
    )


@schema
class ChangeResponse(CountingMeasurement):
    """The responses of all units of one session to image changes."""

    method_version = 3  # version 2: changes without licks near, onsets; 3: no index without a response
    prefix = "change"
    parameter_table = ChangeResponseParams
    definition = f"""
    # Responses of the units of one session to image changes
    -> ecephys.Recording
    -> stimulus.Stimulus
    -> ChangeResponseParams
    ---
    n_change_changes_active : int32  # changes in the task that are measured on
    n_change_pairs_active : int32  # changes in the task that are compared with the flash right before
    n_change_changes_passive : int32  # changes in the replay that are measured on
    n_change_pairs_passive : int32  # changes in the replay that are compared with the flash right before
    n_change_pairs_hit : int32  # pairs of hits
    n_change_pairs_miss : int32  # pairs of misses
    n_change_responsive=null : int32  # units that respond to changes, NULL where none was tested
    {provenance_lines("change_response")}
    """

    class Unit(dj.Part):
        """The response of one unit to image changes."""

        definition = """
        # Response of one unit to image changes
        -> master
        -> ecephys.Recording.Unit
        ---
        change_baseline_rate_active=null : float64  # (Hz) rate in the 80 ms before changes in the task
        change_evoked_rate_active=null : float64  # (Hz) rate from 20 to 100 ms after changes in the task
        change_p_response_active=null : float64  # (1) signed-rank test of the two
        change_q_response_active=null : float64  # (1) the same, adjusted over the units of the session
        change_rate_active=null : float64  # (Hz) rate in the 250 ms of the change in the task
        change_pre_change_rate_active=null : float64  # (Hz) rate in the 250 ms of the flash before it
        change_p_modulation_active=null : float64  # (1) paired signed-rank test
        change_q_modulation_active=null : float64  # (1) the same, adjusted over the units of the session
        change_modulation_active=null : float64  # (1) change against flash before, bounded, in the task
        change_response_sign_active=null : int16  # 1 where both together excite, -1 where they suppress
        change_siegle_2021_modulation_active=null : float64  # (1) index of Siegle 2021 in the task
        change_baseline_rate_passive=null : float64  # (Hz) rate in the 80 ms before changes in the replay
        change_evoked_rate_passive=null : float64  # (Hz) rate from 20 to 100 ms after changes in the replay
        change_p_response_passive=null : float64  # (1) signed-rank test of the two
        change_q_response_passive=null : float64  # (1) the same, adjusted over the units of the session
        change_rate_passive=null : float64  # (Hz) rate in the 250 ms of the change in the replay
        change_pre_change_rate_passive=null : float64  # (Hz) rate in the 250 ms of the flash before it
        change_p_modulation_passive=null : float64  # (1) paired signed-rank test
        change_q_modulation_passive=null : float64  # (1) the same, adjusted over the units of the session
        change_modulation_passive=null : float64  # (1) change against flash before, bounded, in the replay
        change_response_sign_passive=null : int16  # 1 where both together excite, -1 where they suppress
        change_siegle_2021_modulation_passive=null : float64  # (1) index of Siegle 2021 in the replay
        change_p_response=null : float64  # (1) test of the response over the changes of both conditions
        change_q_response=null : float64  # (1) the same, adjusted over the units of the session
        change_p_modulation=null : float64  # (1) test of change against the flash before, both conditions
        change_q_modulation=null : float64  # (1) the same, adjusted over the units of the session
        change_modulation_hit=null : float64  # (1) change against flash before, bounded, in hits
        change_response_sign_hit=null : int16  # 1 where both together excite, -1 where they suppress
        change_siegle_2021_modulation_hit=null : float64  # (1) index of Siegle 2021 in hits
        change_modulation_miss=null : float64  # (1) change against flash before, bounded, in misses
        change_response_sign_miss=null : int16  # 1 where both together excite, -1 where they suppress
        change_siegle_2021_modulation_miss=null : float64  # (1) index of Siegle 2021 in misses
        change_latency=null : float64  # (s) onset of the response to changes in the task
        change_latency_low=null : float64  # (s) 2.5th percentile of it over resamples of the changes
        change_latency_high=null : float64  # (s) 97.5th percentile of it over resamples of the changes
        change_siegle_2021_first_spike_latency=null : float64  # (s) median first spike after these changes
        change_siegle_2021_responsive=null : bool  # whether it is excited by the rule of Siegle 2021
        change_is_responsive=null : bool  # whether q of the response is at most the threshold
        change_is_change_modulated=null : bool  # whether q of the modulation is at most the threshold
        """

    @staticmethod
    def measure(key: Key, spikes: tuple[Any, Any, Any], settings: Any) -> pd.DataFrame:
        """Measure the responses to changes."""
        tables = presentations_frame(key), trials_frame(key)
        return change_response(*spikes, *tables, settings, seed_of(key))


@schema
class FirstSpikeLatencyParams(ParameterTable):
    """One set of windows of the first spike after changes."""

    settings = FirstSpikeParameters
    defaults = {"siegle_2021": FirstSpikeParameters()}
    definition = definition_of(
        "first_spike",
        "the first spike after changes",
        "vbn.analysis.responses.first_spike.FirstSpikeParameters",
    )


@schema
class FirstSpikeLatency(UnitMeasurement):
    """The first spikes of all units of one session after changes, beside those without a response."""

    prefix = "first_spike"
    parameter_table = FirstSpikeLatencyParams
    definition = f"""
    # First spikes of the units of one session after changes, beside chance
    -> ecephys.Recording
    -> stimulus.Stimulus
    -> FirstSpikeLatencyParams
    ---
    n_first_spike_changes : int32  # changes in the task, of hits and misses without early licks
    n_first_spike_known=null : int32  # units whose first spike says something of a response
    {provenance_lines("first_spike_latency")}
    """

    class Unit(dj.Part):
        """The first spike of one unit after changes, beside that without a response."""

        definition = """
        # First spike of one unit after changes, beside chance
        -> master
        -> ecephys.Recording.Unit
        ---
        first_spike_share=null : float64  # (1) share of the changes with a spike in the window
        first_spike_siegle_2021_latency=null : float64  # (s) median first spike of these, of every unit
        first_spike_poisson_latency=null : float64  # (s) the same of a Poisson unit of its rate in the gray
        first_spike_p_response=null : float64  # (1) signed-rank test of the window against the gray before
        first_spike_q_response=null : float64  # (1) the same, adjusted over the units of the session
        first_spike_siegle_2021_response_latency=null : float64  # (s) that median where it is not chance's
        first_spike_siegle_2021_response_latency_low=null : float64  # (s) 2.5th percentile over resamples
        first_spike_siegle_2021_response_latency_high=null : float64  # (s) 97.5th percentile over them
        """

    @staticmethod
    def measure(key: Key, spikes: tuple[Any, Any, Any], settings: Any) -> pd.DataFrame:
        """Measure the first spikes."""
        return first_spike_latency(*spikes, presentations_frame(key), trials_frame(key), settings)

    def session_row(self, measured: pd.DataFrame) -> dict[str, Any]:
        """Return for how many units the first spike says something."""
        is_known = measured["first_spike_siegle_2021_response_latency"].notna()
        tested = measured["first_spike_p_response"].notna()
        return {"n_first_spike_known": count_of_known(is_known.where(tested))}


@schema
class OmissionResponseParams(ParameterTable):
    """One set of windows and thresholds of the omission response."""

    method_version = 2  # other windows
    settings = OmissionResponseParameters
    defaults = {"two_windows": OmissionResponseParameters()}
    definition = definition_of(
        "omission_response",
        "the omission response",
        "vbn.analysis.responses.omission_response.OmissionResponseParameters",
    )


@schema
class OmissionResponse(CountingMeasurement):
    """The responses of all units of one session to omitted flashes."""

    method_version = 2  # tested against the continuation of what came before, without licks
    also_reads = (behavior.Licks,)
    prefix = "omission"
    parameter_table = OmissionResponseParams
    definition = f"""
    # Responses of the units of one session to omissions
    -> ecephys.Recording
    -> stimulus.Stimulus
    -> OmissionResponseParams
    ---
    n_omission_omissions_active : int32  # omissions in the task
    n_omission_tested_active=null : int32  # of which measured, NULL before method version 2
    n_omission_omissions_passive : int32  # omissions in the replay
    n_omission_tested_passive=null : int32  # of which measured, NULL before method version 2
    n_omission_responsive=null : int32  # units that respond to omissions, NULL where none was tested
    {provenance_lines("omission_response")}
    """

    class Unit(dj.Part):
        """The response of one unit to omitted flashes."""

        definition = """
        # Response of one unit to omissions
        -> master
        -> ecephys.Recording.Unit
        ---
        omission_first_gray_rate_active=null : float64  # (Hz) rate 500 to 250 ms before, in the task
        omission_second_gray_rate_active=null : float64  # (Hz) rate in the 250 ms before
        omission_evoked_rate_active=null : float64  # (Hz) rate from 50 to 300 ms after the expected onset
        omission_expected_rate_active=null : float64  # (Hz) nearest rate that continues the two before
        omission_response_index_active=null : float64  # (1) evoked against expected, difference over sum
        omission_flash_rate_active=null : float64  # (Hz) rate from 50 to 300 ms after the flash before
        omission_flash_index_active=null : float64  # (1) evoked rate against the flash, difference over sum
        omission_p_value_active=null : float64  # (1) test of the evoked rate against all continuations
        omission_first_gray_rate_passive=null : float64  # (Hz) rate 500 to 250 ms before, in the replay
        omission_second_gray_rate_passive=null : float64  # (Hz) rate in the 250 ms before
        omission_evoked_rate_passive=null : float64  # (Hz) rate from 50 to 300 ms after the expected onset
        omission_expected_rate_passive=null : float64  # (Hz) nearest rate that continues the two before
        omission_response_index_passive=null : float64  # (1) evoked against expected, difference over sum
        omission_flash_rate_passive=null : float64  # (Hz) rate from 50 to 300 ms after the flash before
        omission_flash_index_passive=null : float64  # (1) evoked rate against the flash, difference over sum
        omission_p_value_passive=null : float64  # (1) test of the evoked rate against all continuations
        omission_p_value=null : float64  # (1) the same test over the omissions of both conditions
        omission_q_value=null : float64  # (1) the same, adjusted over the units of the session
        omission_sign=null : int16  # 1 rise, -1 fall, 0 no response, NULL where not tested
        omission_is_responsive=null : bool  # whether q is at most the threshold, NULL where not tested
        """

    @property
    def key_source(self) -> Any:
        """Sessions whose licks are known."""
        return super().key_source & behavior.Licks.proj()

    @staticmethod
    def measure(key: Key, spikes: tuple[Any, Any, Any], settings: Any) -> pd.DataFrame:
        """Measure the responses to omissions."""
        licks = licks_frame(key)["timestamps"]
        return omission_response(*spikes, presentations_frame(key), licks, trials_frame(key), settings)


@schema
class ImageSelectivityParams(performance.OfFlashes):
    """One set of windows and thresholds of the image selectivity."""

    settings = ImageSelectivityParameters
    method_version = 2  # flashes are those of a flash set, by its name, where there was a condition
    defaults = {"lick_free": ImageSelectivityParameters()}
    definition = definition_of(
        "image_selectivity",
        "the image selectivity",
        "vbn.analysis.responses.image_selectivity.ImageSelectivityParameters",
    )


@schema
class ImageSelectivity(CountingMeasurement):
    """The selectivity of all units of one session for images.

    Rows of before method version 3 do not refer to the licks, so that the key cannot: `key_source` does.
    """

    method_version = 4  # 2: tested over runs of an image; 3: on a flash set; 4: no index without a response
    also_reads = (behavior.Licks,)
    prefix = "selectivity"
    parameter_table = ImageSelectivityParams
    definition = f"""
    # Selectivity of the units of one session for images
    -> ecephys.Recording
    -> stimulus.Stimulus
    -> ImageSelectivityParams
    ---
    n_selectivity_flashes : int32  # flashes that were measured on
    n_selectivity_images : int32  # images
    n_selectivity_novel_flashes : int32  # flashes of novel images
    n_selectivity_familiar_flashes : int32  # flashes of familiar images
    n_selectivity_runs=null : int32  # runs of an image that were tested, NULL before method version 2
    selectivity_image_names : json  # names of the images in the order of the rates
    n_selectivity_responsive=null : int32  # units that respond to images, NULL where none was tested
    {provenance_lines("image_selectivity")}
    """

    class Unit(dj.Part):
        """The selectivity of one unit for images."""

        definition = """
        # Selectivity of one unit for images
        -> master
        -> ecephys.Recording.Unit
        ---
        selectivity_image_rates : <blob>  # (Hz) float32, mean rate per image, see selectivity_image_names
        selectivity_baseline_rate=null : float64  # (Hz) mean rate before the flashes
        selectivity_evoked_rate=null : float64  # (Hz) mean rate in the 250 ms of the flashes
        selectivity_p_response=null : float64  # (1) signed-rank test of the two
        selectivity_q_response=null : float64  # (1) the same, adjusted over the units of the session
        selectivity_preferred_image=null : varchar(64)  # image with the highest mean rate
        selectivity_preferred_rate=null : float64  # (Hz) that rate
        selectivity_lifetime_sparseness=null : float64  # (1) 0 all images alike, 1 one image only
        selectivity_p_selectivity=null : float64  # (1) Kruskal-Wallis test of run means between images
        selectivity_q_selectivity=null : float64  # (1) the same, adjusted over the units of the session
        selectivity_novel_shared_index=null : float64  # (1) novel less shared images over the greater
        selectivity_is_responsive=null : bool  # whether q of the response is at most the threshold
        selectivity_is_selective=null : bool  # whether q of the selectivity is at most the threshold
        """

    @property
    def key_source(self) -> Any:
        """Recordings whose licks have been imported."""
        return super().key_source & behavior.Licks.proj()

    @staticmethod
    def measure(key: Key, spikes: tuple[Any, Any, Any], settings: Any) -> pd.DataFrame:
        """Measure the responses to each image."""
        flashes = performance.chosen_flashes(key, settings.flash_set)
        measured, rates = image_selectivity(*spikes, flashes, settings)
        names = pd.Series([list(rates.columns)] * len(measured), dtype=object)
        return measured.assign(
            image_rates=pd.Series(list(rates.to_numpy(np.float32)), dtype=object), image_names=names
        )

    def session_row(self, measured: pd.DataFrame) -> dict[str, Any]:
        """Return the names of the images as well."""
        names = measured["selectivity_image_names"].iloc[0] if len(measured) else []
        return {**super().session_row(measured), "selectivity_image_names": names}


class OfRepeats(CountingMeasurement):
    """A measurement of how responses repeat, on the flashes of a flash set."""

    also_reads = (behavior.Licks,)

    @property
    def key_source(self) -> Any:
        """Recordings whose licks have been imported."""
        return super().key_source & behavior.Licks.proj()

    def session_row(self, measured: pd.DataFrame) -> dict[str, Any]:
        """Return no further values."""
        return {}


@schema
class ReliabilityParams(performance.OfFlashes):
    """One choice of flashes, bins and halves for the reliability."""

    settings = ReliabilityParameters
    defaults = {"halves_of_runs": ReliabilityParameters()}
    definition = definition_of(
        "reliability", "the reliability", "vbn.analysis.responses.reliability.ReliabilityParameters"
    )


@schema
class Reliability(OfRepeats):
    """How well the responses of all units of one session to the images repeat."""

    prefix = "reliability"
    parameter_table = ReliabilityParams
    definition = f"""
    # How well the responses of the units of one session repeat
    -> ecephys.Recording
    -> stimulus.Stimulus
    -> ReliabilityParams
    ---
    n_reliability_flashes : int32  # flashes that were measured on
    n_reliability_images : int32  # images, those with enough flashes in two runs or more
    n_reliability_runs : int32  # runs of these images
    {provenance_lines("reliability")}
    """

    class Unit(dj.Part):
        """How well the responses of one unit to the images repeat."""

        definition = """
        # How well the responses of one unit repeat
        -> master
        -> ecephys.Recording.Unit
        ---
        reliability_split_half=null : float64  # (1) correlation of the responses in halves of the runs
        reliability_spearman_brown=null : float64  # (1) the same for all flashes together, 2 r / (1 + r)
        reliability_explainable_share=null : float64  # (1) of the variance of flashes in bins, what repeats
        reliability_stability_halves=null : float64  # (1) correlation of the earlier with the later runs
        """

    @staticmethod
    def measure(key: Key, spikes: tuple[Any, Any, Any], settings: Any) -> pd.DataFrame:
        """Measure how well the responses repeat."""
        return reliability(
            *spikes, performance.chosen_flashes(key, settings.flash_set), settings, seed_of(key)
        )


@schema
class VariabilityParams(performance.OfFlashes):
    """One set of windows and intervals for the variability."""

    settings = VariabilityParameters
    defaults = {"flash_and_gray": VariabilityParameters()}
    definition = definition_of(
        "variability", "the variability", "vbn.analysis.responses.variability.VariabilityParameters"
    )


@schema
class Variability(OfRepeats):
    """How variable all units of one session fire from flash to flash, and from spike to spike."""

    prefix = "variability"
    parameter_table = VariabilityParams
    definition = f"""
    # How variable the units of one session fire
    -> ecephys.Recording
    -> stimulus.Stimulus
    -> VariabilityParams
    ---
    n_variability_flashes : int32  # flashes that were measured on
    {provenance_lines("variability")}
    """

    class Unit(dj.Part):
        """How variable one unit fires."""

        definition = """
        # How variable one unit fires
        -> master
        -> ecephys.Recording.Unit
        ---
        variability_fano_factor=null : float64  # (1) variance over mean of flashes of an image, with drift
        variability_fano_factor_local=null : float64  # (1) the same between successive flashes
        variability_baseline_fano_factor=null : float64  # (1) of the gray before the flashes, with drift
        variability_baseline_fano_factor_local=null : float64  # (1) the same between successive flashes
        variability_burst_fraction=null : float64  # (1) share of the spikes that are in bursts
        variability_isi_cv2=null : float64  # (1) local variation of intervals of Holt 1996, 1 if Poisson
        variability_isi_lv=null : float64  # (1) that of Shinomoto 2003, likewise
        """

    @staticmethod
    def measure(key: Key, spikes: tuple[Any, Any, Any], settings: Any) -> pd.DataFrame:
        """Measure how variable the units fire."""
        return variability(*spikes, performance.chosen_flashes(key, settings.flash_set), settings)


@schema
class FullFieldResponseParams(ParameterTable):
    """One set of windows and thresholds of the response to full-field flashes."""

    settings = FullFieldResponseParameters
    defaults = {"allensdk": FullFieldResponseParameters()}
    definition = definition_of(
        "full_field_response",
        "the response to full-field flashes",
        "vbn.analysis.responses.full_field_response.FullFieldResponseParameters",
    )


@schema
class FullFieldResponse(CountingMeasurement):
    """The responses of all units of one session to full-field flashes."""

    method_version = 3  # 2: without flashes nothing is said of responses; 3: each color at half the threshold
    prefix = "full_field"
    parameter_table = FullFieldResponseParams
    definition = f"""
    # Responses of the units of one session to full-field flashes
    -> ecephys.Recording
    -> stimulus.Stimulus
    -> FullFieldResponseParams
    ---
    n_full_field_white : int32  # white flashes
    n_full_field_black : int32  # black flashes
    n_full_field_responsive=null : int32  # units that respond to either, NULL where none was tested
    {provenance_lines("full_field_response")}
    """

    class Unit(dj.Part):
        """The response of one unit to full-field flashes."""

        definition = """
        # Response of one unit to full-field flashes
        -> master
        -> ecephys.Recording.Unit
        ---
        full_field_baseline_rate_white=null : float64  # (Hz) rate before white flashes
        full_field_evoked_rate_white=null : float64  # (Hz) rate in the 250 ms of white flashes
        full_field_p_white=null : float64  # (1) signed-rank test of the two
        full_field_q_white=null : float64  # (1) the same, adjusted over the units of the session
        full_field_baseline_rate_black=null : float64  # (Hz) rate before black flashes
        full_field_evoked_rate_black=null : float64  # (Hz) rate in the 250 ms of black flashes
        full_field_p_black=null : float64  # (1) signed-rank test of the two
        full_field_q_black=null : float64  # (1) the same, adjusted over the units of the session
        full_field_p_color=null : float64  # (1) rank-sum test of white against black
        full_field_q_color=null : float64  # (1) the same, adjusted over the units of the session
        full_field_on_off_ratio=null : float64  # (1) evoked rate of white over that of black
        full_field_on_off_index=null : float64  # (1) difference of the two over their sum
        full_field_preferred_color=null : float64  # (1) 1 white, -1 black, NULL where equal
        full_field_is_responsive=null : bool  # whether q of either is at most half the threshold
        """

    @staticmethod
    def measure(key: Key, spikes: tuple[Any, Any, Any], settings: Any) -> pd.DataFrame:
        """Measure the responses to white and black flashes."""
        return full_field_response(*spikes, presentations_frame(key), settings)


@schema
class IntrinsicTimescaleParams(ParameterTable):
    """One set of windows, bins and bounds of the timescales.

    ``siegle_2021``: the fits that the paper keeps; ``calibrated``: those of them that explain more than noise
    does (docs/responses.md).
    """

    settings = TimescaleParameters
    defaults = dict(TIMESCALES)
    definition = definition_of(
        "intrinsic_timescale",
        "the timescales",
        "vbn.analysis.responses.intrinsic_timescale.TimescaleParameters",
    )


@schema
class IntrinsicTimescale(CountingMeasurement):
    """How fast the autocorrelations of all units of one session decay, at rest and in a response."""

    prefix = "timescale"
    parameter_table = IntrinsicTimescaleParams
    definition = f"""
    # How fast the autocorrelations of the units of one session decay
    -> ecephys.Recording
    -> stimulus.Stimulus
    -> IntrinsicTimescaleParams
    ---
    n_timescale_flashes : int32  # full-field flashes that were measured on
    n_timescale_valid=null : int32  # units with a valid intrinsic timescale, NULL where none was fitted
    {provenance_lines("intrinsic_timescale")}
    """

    class Unit(dj.Part):
        """How fast the autocorrelation of one unit decays."""

        definition = """
        # How fast the autocorrelation of one unit decays
        -> master
        -> ecephys.Recording.Unit
        ---
        timescale_intrinsic=null : float64  # (s) of the gray after full-field flashes, NULL without a decay
        timescale_error_intrinsic=null : float64  # (s) its standard error
        timescale_explained_intrinsic=null : float64  # (1) share of the variance over lags that it explains
        timescale_spikes_intrinsic : int32  # spikes that it rests on
        timescale_is_valid_intrinsic=null : bool  # whether all bounds are met, NULL where nothing was fitted
        timescale_decay=null : float64  # (s) of the response to full-field flashes, NULL without a decay
        timescale_error_decay=null : float64  # (s) its standard error
        timescale_explained_decay=null : float64  # (1) share of the variance over lags that it explains
        timescale_spikes_decay : int32  # spikes that it rests on
        timescale_is_valid_decay=null : bool  # whether all bounds are met, NULL where nothing was fitted
        """

    @staticmethod
    def measure(key: Key, spikes: tuple[Any, Any, Any], settings: Any) -> pd.DataFrame:
        """Fit the decays."""
        return intrinsic_timescale(*spikes, presentations_frame(key), settings)

    def session_row(self, measured: pd.DataFrame) -> dict[str, Any]:
        """Return the number of units with a valid intrinsic timescale."""
        return {"n_timescale_valid": count_of_known(measured["timescale_is_valid_intrinsic"])}


@schema
class StateModulationParams(ParameterTable):
    """One set of windows and thresholds of the modulation by running and pupil."""

    method_version = 2  # without min_shift_s
    settings = StateModulationParameters
    defaults = {"allensdk": StateModulationParameters()}
    definition = definition_of(
        "state_modulation",
        "the modulation by running and pupil",
        "vbn.analysis.responses.running_modulation.StateModulationParameters",
    )


@schema
class RunningModulation(CountingMeasurement):
    """How running changes the firing of all units of one session."""

    method_version = 2  # correlations are tested by linear shifts within a block
    prefix = "running"
    parameter_table = StateModulationParams
    definition = f"""
    # Modulation of the units of one session by running
    -> ecephys.Recording
    -> stimulus.Stimulus
    -> behavior.Running
    -> StateModulationParams
    ---
    n_running_high : int32  # flashes during running
    n_running_low : int32  # flashes during rest
    n_running_bins_active=null : int32  # bins of the task that were correlated
    n_running_shifts_active=null : int32  # shifts to either side, 0 if too few for a test
    n_running_bins_passive=null : int32  # bins of the replay that were correlated
    n_running_shifts_passive=null : int32  # shifts to either side, 0 if too few for a test
    {provenance_lines("running_modulation")}
    """

    class Unit(dj.Part):
        """How running changes the firing of one unit."""

        definition = """
        # Modulation of one unit by running
        -> master
        -> ecephys.Recording.Unit
        ---
        running_high_rate=null : float64  # (Hz) rate in flashes with running
        running_low_rate=null : float64  # (Hz) rate in flashes with rest
        running_allensdk_modulation_index=null : float64  # (1) difference of the two over the greater
        running_allensdk_p_value=null : float64  # (1) t-test of Welch of the two; invalid if firing drifts
        running_spearman_r_active=null : float64  # (1) rank correlation of rate and speed in the task
        running_p_shift_active=null : float64  # (1) test of it against shifts in time
        running_q_shift_active=null : float64  # (1) the same, adjusted over the units of the session
        running_spearman_r_passive=null : float64  # (1) rank correlation of rate and speed in the replay
        running_p_shift_passive=null : float64  # (1) test of it against shifts in time
        running_q_shift_passive=null : float64  # (1) the same, adjusted over the units of the session
        """

    @staticmethod
    def measure(key: Key, spikes: tuple[Any, Any, Any], settings: Any) -> pd.DataFrame:
        """Compare the firing rates during running and rest."""
        row = (behavior.Running & key_of_session(key)).fetch1()
        running = (row["running_timestamps"].load(), row["running_speed"].load())
        return running_modulation(*spikes, presentations_frame(key), running, settings)

    def session_row(self, measured: pd.DataFrame) -> dict[str, Any]:
        """Return no further values: modulation is not a response."""
        return {}


@schema
class PupilModulation(CountingMeasurement):
    """How the firing of all units of one session varies with the pupil."""

    method_version = 2  # correlations are tested by linear shifts within a block
    prefix = "pupil"
    parameter_table = StateModulationParams
    definition = f"""
    # Modulation of the units of one session with the pupil
    -> ecephys.Recording
    -> stimulus.Stimulus
    -> behavior.EyeTracking
    -> StateModulationParams
    ---
    n_pupil_high : int32  # flashes with a wide pupil, 0 without eye tracking
    n_pupil_low : int32  # flashes with a narrow pupil
    n_pupil_bins_active=null : int32  # bins of the task that were correlated
    n_pupil_shifts_active=null : int32  # shifts to either side, 0 if too few for a test
    n_pupil_bins_passive=null : int32  # bins of the replay that were correlated
    n_pupil_shifts_passive=null : int32  # shifts to either side, 0 if too few for a test
    {provenance_lines("pupil_modulation")}
    """

    class Unit(dj.Part):
        """How the firing of one unit varies with the pupil."""

        definition = """
        # Modulation of one unit with the pupil
        -> master
        -> ecephys.Recording.Unit
        ---
        pupil_high_rate=null : float64  # (Hz) rate in flashes with a wide pupil
        pupil_low_rate=null : float64  # (Hz) rate in flashes with a narrow pupil
        pupil_allensdk_modulation_index=null : float64  # (1) difference of the two over the greater
        pupil_allensdk_p_value=null : float64  # (1) t-test of Welch of the two; invalid if firing drifts
        pupil_spearman_r_active=null : float64  # (1) rank correlation of rate and area in the task
        pupil_p_shift_active=null : float64  # (1) test of it against shifts in time
        pupil_q_shift_active=null : float64  # (1) the same, adjusted over the units of the session
        pupil_spearman_r_passive=null : float64  # (1) rank correlation of rate and area in the replay
        pupil_p_shift_passive=null : float64  # (1) test of it against shifts in time
        pupil_q_shift_passive=null : float64  # (1) the same, adjusted over the units of the session
        """

    @staticmethod
    def measure(key: Key, spikes: tuple[Any, Any, Any], settings: Any) -> pd.DataFrame:
        """Compare the firing rates with a wide and a narrow pupil."""
        row = (behavior.EyeTracking & key_of_session(key)).fetch1()
        names = ("eye_timestamps", "pupil_area", "likely_blink")
        pupil = tuple(row[name].load() for name in names) if row["has_eye_tracking"] else None
        return pupil_modulation(*spikes, presentations_frame(key), pupil, settings)

    def session_row(self, measured: pd.DataFrame) -> dict[str, Any]:
        """Return no further values: modulation is not a response."""
        return {}


@schema
class ReceptiveFieldParams(ParameterTable):
    """One set of windows and thresholds of the receptive fields."""

    later = {"max_shuffles": 10_000, "max_q_value": 0.05}
    settings = ReceptiveFieldParameters
    defaults = {"allensdk": ReceptiveFieldParameters()}
    definition = definition_of(
        "receptive_field",
        "the receptive fields",
        "vbn.analysis.responses.receptive_field.ReceptiveFieldParameters",
    )


@schema
class ReceptiveField(CountingMeasurement):
    """The receptive fields of all units of one session, from Gabors at 81 positions."""

    method_version = 4  # 2: strong fields shuffled more often, p never 0; 3: significant by q; 4: equal fits
    prefix = "rf"
    parameter_table = ReceptiveFieldParams
    definition = f"""
    # Receptive fields of the units of one session
    -> ecephys.Recording
    -> stimulus.Stimulus
    -> ReceptiveFieldParams
    ---
    n_rf_gabors : int32  # Gabors shown
    rf_seed : int64  # seed of the shuffles
    n_rf_significant=null : int32  # units with a significant receptive field, NULL where none was tested
    {provenance_lines("receptive_field")}
    """

    class Unit(dj.Part):
        """The receptive field of one unit."""

        definition = """
        # Receptive field of one unit
        -> master
        -> ecephys.Recording.Unit
        ---
        rf_map : <blob>  # (samples) int32, spikes per place, rows y and columns x, both ascending
        n_rf_spikes : int32  # spikes in all windows
        n_rf_shuffles=null : int32  # shuffles of the unit, NULL before method version 2
        rf_p_value=null : float64  # (1) share of shuffles with as great a chi-square, never 0
        rf_p_is_upper_bound=null : bool  # whether no shuffle had, NULL if not tested
        rf_q_value=null : float64  # (1) p-value adjusted over the units of the session
        rf_is_significant=null : bool  # whether p and q are below the thresholds, NULL if not tested
        rf_peak_x=null : float64  # (deg) place of the highest rate from the centre of the screen
        rf_peak_y=null : float64  # (deg) the same, growing upwards
        rf_peak_rate=null : float64  # (Hz) that rate
        rf_center_x=null : float64  # (deg) centre of the field from the centre of the screen
        rf_center_y=null : float64  # (deg) the same, growing upwards
        rf_azimuth=null : float64  # (deg) centre in the frame of AllenSDK, rf_center_x + 50
        rf_elevation=null : float64  # (deg) centre in the frame of AllenSDK, rf_center_y + 10
        rf_area=null : float64  # (deg^2) area of the field
        rf_is_inverted=null : bool  # whether the unit is suppressed in its field, NULL without a map
        rf_fit_amplitude=null : float64  # (Hz) amplitude of the Gaussian, of units with a small p
        rf_fit_offset=null : float64  # (Hz) offset of the Gaussian
        rf_fit_x=null : float64  # (deg) centre of the Gaussian
        rf_fit_y=null : float64  # (deg) centre of the Gaussian
        rf_fit_width=null : float64  # (deg) standard deviation along x
        rf_fit_height=null : float64  # (deg) standard deviation along y
        rf_is_on_screen=null : bool  # whether the centre of the Gaussian lies on the screen
        """

    @staticmethod
    def measure(key: Key, spikes: tuple[Any, Any, Any], settings: Any) -> pd.DataFrame:
        """Map the receptive fields of the units."""
        seed = seed_of(key)
        measured, maps = receptive_field(*spikes, presentations_frame(key), seed, settings)
        return measured.rename(columns={"n_rf_spikes": "n_spikes"}).assign(map=list(maps), seed=seed)

    def session_row(self, measured: pd.DataFrame) -> dict[str, Any]:
        """Return the number of significant fields."""
        return {"n_rf_significant": count_of_known(measured["rf_is_significant"])}


@schema
class PublishedResponseParams(ParameterTable):
    """One set of windows and flashes of the published responsiveness."""

    settings = PublishedResponseParameters
    later: ClassVar[Key] = {"peak_over": "flashes"}
    defaults = {"bennett_2025": PublishedResponseParameters(), "bennett_2025_older": OLDER}
    definition = definition_of(
        "published_response",
        "the published responsiveness",
        "vbn.analysis.responses.published_response.PublishedResponseParameters",
    )


@schema
class PublishedResponse(CountingMeasurement):
    """The responsiveness and modulation of all units of one session by the rules of Bennett 2025."""

    prefix = "bennett_2025"
    parameter_table = PublishedResponseParams
    definition = f"""
    # Published responsiveness of the units of one session, for comparison
    -> ecephys.Recording
    -> stimulus.Stimulus
    -> behavior.Licks
    -> PublishedResponseParams
    ---
    bennett_2025_image_names : json  # names of the images in the order of the arrays of the units
    bennett_2025_image_flashes : json  # flashes of each image that were measured on
    n_bennett_2025_change : int32  # changes that were measured on
    n_bennett_2025_omission : int32  # omissions that were measured on
    n_bennett_2025_matched_images : int32  # images of change and state modulation
    {provenance_lines("published_response")}
    """

    class Unit(dj.Part):
        """The published responsiveness and modulation of one unit."""

        definition = """
        # Published responsiveness of one unit, for comparison
        -> master
        -> ecephys.Recording.Unit
        ---
        bennett_2025_image_p_values : <blob>  # (1) float64, signed-rank test per image, NaN if not tested
        bennett_2025_image_p_corrected : <blob>  # (1) float64, adjusted over the conditions of the unit
        bennett_2025_image_mean_evoked : <blob>  # (Hz) float64, mean response less gray per image
        bennett_2025_image_peak_evoked : <blob>  # (Hz) float64, peak over flashes or time less gray
        bennett_2025_responds_to_image=null : bool  # whether corrected p of an image is at most the threshold
        bennett_2025_omission_p_value=null : float64  # (1) signed-rank test of omissions
        bennett_2025_omission_p_corrected=null : float64  # (1) adjusted over the conditions of the unit
        bennett_2025_omission_is_significant=null : bool  # whether that is at most the threshold
        bennett_2025_omission_mean_evoked=null : float64  # (Hz) mean response less gray
        bennett_2025_omission_peak_evoked=null : float64  # (Hz) peak over omissions or time less gray
        bennett_2025_change_p_value=null : float64  # (1) signed-rank test of changes
        bennett_2025_change_p_corrected=null : float64  # (1) adjusted over the conditions of the unit
        bennett_2025_change_is_significant=null : bool  # whether that is at most the threshold
        bennett_2025_change_mean_evoked=null : float64  # (Hz) mean response less gray
        bennett_2025_change_peak_evoked=null : float64  # (Hz) peak over changes or time less gray
        bennett_2025_change_rate_active=null : float64  # (Hz) response to engaged hits of images not shared
        bennett_2025_prechange_rate_active=null : float64  # (Hz) response to the same images before changes
        bennett_2025_change_index_active=null : float64  # (1) difference of the two over the greater
        bennett_2025_change_rate_passive=null : float64  # (Hz) the same response in the replay
        bennett_2025_prechange_rate_passive=null : float64  # (Hz) the same before changes in the replay
        bennett_2025_change_index_passive=null : float64  # (1) difference of the two over the greater
        bennett_2025_state_index=null : float64  # (1) change in the task less the replay over the greater
        """

    @staticmethod
    def measure(key: Key, spikes: tuple[Any, Any, Any], settings: Any) -> pd.DataFrame:
        """Measure the responses by the published rules."""
        flashes = flashes_frame(key)
        chosen = {
            kind: select_flashes(flashes, performance.FlashSets.get(name))
            for kind, name in settings.flash_sets.items()
        }
        measured, names = published_response(*spikes, flashes, trials_frame(key), chosen, settings)
        return measured.assign(image_names=pd.Series([names] * len(measured), dtype=object))

    def session_row(self, measured: pd.DataFrame) -> dict[str, Any]:
        """Return the images as well; how many units respond is for the calibrated tables to say."""
        names = "bennett_2025_image_names", "bennett_2025_image_flashes"
        return {name: measured[name].iloc[0] if len(measured) else [] for name in names}


@schema
class NoveltyResponseParams(ParameterTable):
    """One set of windows and flashes of the responses that familiar and novel sessions are compared by."""

    settings = NoveltyResponseParameters
    defaults = {"bennett_2025": NoveltyResponseParameters()}
    definition = definition_of(
        "novelty_response",
        "the responses that familiar and novel sessions are compared by",
        "vbn.analysis.responses.novelty_response.NoveltyResponseParameters",
    )

    @classmethod
    def _insert_checked(cls, row: Key) -> None:
        """Insert a set whose flash sets exist."""
        for name in ("change_flash_set", "repeat_flash_set"):
            performance.FlashSets.get(cls.content_of(row)[name])
        super()._insert_checked(row)


@schema
class NoveltyResponse(UnitMeasurement):
    """The responses of all units of one session by which familiar and novel sessions are compared.

    Images are the set's own (nonshared; novel in a novel session) or those of both sets (shared; familiar in
    each session).
    """

    prefix = "novelty"
    parameter_table = NoveltyResponseParams
    definition = f"""
    # Responses of the units of one session to own and shared images
    -> ecephys.Recording
    -> stimulus.Stimulus
    -> behavior.Licks
    -> NoveltyResponseParams
    ---
    {_lines("n_novelty_{kind} : int32  # flashes of this kind: {words}")}
    {provenance_lines("novelty_response")}
    """

    class Unit(dj.Part):
        """The responses of one unit."""

        definition = f"""
        # Responses of one unit to own and shared images
        -> master
        -> ecephys.Recording.Unit
        ---
        {_lines("novelty_{kind}=null : float64  # (Hz) mean response to {words}")}
        """

    @staticmethod
    def measure(key: Key, spikes: tuple[Any, Any, Any], settings: Any) -> pd.DataFrame:
        """Measure the responses to each kind of flashes."""
        names = (settings.change_flash_set, settings.repeat_flash_set)
        sets = tuple(map(performance.FlashSets.get, names))
        return novelty_response(*spikes, flashes_frame(key), trials_frame(key), sets, settings)

    def session_row(self, measured: pd.DataFrame) -> dict[str, Any]:
        """Return no further values."""
        return {}


@schema
class CellClass(Computation):
    """The cell classes of the units of one session, from optotagging labels and waveform widths."""

    definition = f"""
    # Cell classes of the units of one session
    -> optotagging.OptotagLabel
    ---
    n_classified : int32  # units that have a class
    {provenance_lines("cell_class")}
    """

    class Unit(dj.Part):
        """The cell class of one unit."""

        definition = f"""
        # Cell class of one unit
        -> master
        -> ecephys.Recording.Unit
        ---
        cell_class : enum({", ".join(f"'{name}'" for name in CELL_CLASSES)})  # RS is wide, FS is narrow
        """

    def make_fetch(self, key: Key) -> tuple[Any, ...]:
        """Fetch the genotype."""
        return self.provenance(key), (session.Mouse & key).fetch1("genotype")

    def make_compute(self, key: Key, made_with: Key, genotype: str) -> tuple[Any, ...]:
        """Join labels and waveforms."""
        labels = (optotagging.OptotagLabel.Unit & key).proj("optotag_label")
        rows = labels * ecephys.Recording.Unit.proj("waveform_duration")
        units = fetch_frame(rows)
        widths = units["waveform_duration"].astype(float)
        return made_with, units.assign(cell_class=cell_class(units["optotag_label"], widths, genotype))

    def make_insert(self, key: Key, made_with: Key, units: pd.DataFrame) -> None:
        """Insert the classes."""
        n_classified = int((units["cell_class"] != "unlabelled").sum())
        self.insert1({**key, **made_with, "n_classified": n_classified})
        insert_rows(self.Unit(), rows_from_frame(units, self.Unit(), key))


class WithDefaultLabels(selection.OfPopulations):
    """A table of averages over units, computed with the default labels."""

    @classmethod
    def wanted_sets(cls, table: type[ParameterTable]) -> list[str]:
        """Return the filters for populations, the default labels, and all sets of other tables."""
        return [DEFAULT_METHOD] if table is optotagging.OptotagMethod else super().wanted_sets(table)


@schema
class AreaSummary(WithDefaultLabels):
    """Counts of responsive units and cell classes, by structure, among the units that pass a filter."""

    method_version = 2  # shares among the units of which it is known
    definition = f"""
    # Units of the structures of one session
    -> selection.UnitSelection
    -> ChangeResponse
    -> CellClass
    ---
    n_summarized : int32  # number of structures with units
    {provenance_lines("area_summary")}
    """

    class Structure(dj.Part):
        """The units of one structure."""

        definition = """
        # Units of one structure
        -> master
        -> ecephys.Structure
        ---
        n_structure_units : int32  # units that pass the filter
        n_structure_responsive : int32  # of which respond to changes
        share_responsive=null : float64  # (1) of the units that were tested
        n_structure_tagged : int32  # units that are optotagged, of class Sst or Vip
        share_tagged=null : float64  # (1) of the units with a label, NULL in a wild type or without a laser
        n_structure_rs : int32  # units with a wide waveform, untagged
        n_structure_fs : int32  # units with a narrow waveform, untagged
        """

    @property
    def key_source(self) -> Any:
        """Selections by the filters for populations, with the default labels."""
        labels = CellClass.proj() & {"optotag_method": DEFAULT_METHOD}
        return selection.UnitSelection.proj() * ChangeResponse.proj() * labels & self.wanted_filters()

    def make_fetch(self, key: Key) -> tuple[Any, ...]:
        """Fetch only the provenance."""
        return (self.provenance(key),)

    def make_compute(self, key: Key, made_with: Key) -> tuple[Any, ...]:
        """Count the units that pass the filter, by structure."""
        units = fetch_frame((selection.UnitSelection.Unit & key).proj())[["unit_id"]]
        for query in (
            (ChangeResponse.Unit & key).proj("change_is_responsive"),
            (CellClass.Unit & key).proj("cell_class"),
            (optotagging.OptotagLabel.Unit & key).proj("optotag_label"),
        ):
            units = units.merge(fetch_frame(query).iloc[:, -2:], on="unit_id")
        units = units.merge(located_frame(key), on="unit_id")
        flags = {name.lower(): (units["cell_class"] == name).to_numpy() for name in ("RS", "FS")}
        tagged, known = units["cell_class"].isin(["Sst", "Vip"]), units["optotag_label"] != UNLABELLED
        flags["tagged"] = tagged.where(known, None).to_numpy(object)
        flags["responsive"] = units["change_is_responsive"].to_numpy()
        return made_with, area_summary(units["structure_acronym"], flags)

    def make_insert(self, key: Key, made_with: Key, areas: pd.DataFrame) -> None:
        """Insert the structures."""
        self.insert1({**key, **made_with, "n_summarized": len(areas)})
        columns = {"structure_acronym": "group"}
        columns |= {
            f"n_structure_{name}": f"n_{name}" for name in ("units", "responsive", "tagged", "rs", "fs")
        }
        insert_rows(self.Structure(), rows_from_frame(areas, self.Structure(), key, columns))


class OfMice(WithDefaultLabels):
    """A table with one row for each familiar and novel recording of a mouse, and groups of their units.

    Attributes
    ----------
    prefix : prefix of the attributes of the part ``Group``.
    """

    session_columns = tuple(EXPERIENCE.values())
    prefix: ClassVar[str]

    def located(self, units: pd.DataFrame, _key: Key) -> pd.DataFrame:
        """Return the units of a session with what divides them further."""
        return units

    def make_fetch(self, key: Key) -> tuple[Any, ...]:
        """Fetch only the provenance."""
        return (self.provenance(key),)

    def make_compute(self, key: Key, made_with: Key) -> tuple[Any, ...]:
        """Compare the units of both sessions that pass the filter, group by group."""
        sessions = []
        for level, name in EXPERIENCE.items():
            of_session = {**key, "session_id": key[name]}
            sessions.append(self.located(_responses_of_units(of_session), of_session))
            sessions[-1]["is_novel"] = level == "Novel"
        units = pd.concat(sessions, ignore_index=True)
        by = [name for name in ("structure_acronym", "group_cell_class", "group_layer") if name in units]
        return made_with, mouse_novelty(units, by)

    def make_insert(self, key: Key, made_with: Key, groups: pd.DataFrame) -> None:
        """Insert the groups."""
        self.insert1({**key, **made_with, f"n_{self.prefix}_groups": len(groups)})
        columns = {name.format(self.prefix): column for name, column in GROUP_COLUMNS.items()}
        columns["group_flashes"] = "flashes"
        insert_rows(self.Group(), rows_from_frame(groups, self.Group(), key, columns))


GROUP_COLUMNS = {
    "n_{}_familiar_units": "n_familiar",
    "n_{}_novel_units": "n_novel",
    "{}_familiar_response": "familiar_hz",
    "{}_novel_response": "novel_hz",
    "{}_difference": "difference_hz",
    "{}_index": "index",
}


def _group_lines(prefix: str) -> str:
    """Return the secondary attributes of a group of units of a mouse."""
    return f"""
    n_{prefix}_familiar_units : int32  # units of the familiar session
    n_{prefix}_novel_units : int32  # units of the novel session
    {prefix}_familiar_response=null : float64  # (Hz) mean over the units of the familiar session
    {prefix}_novel_response=null : float64  # (Hz) mean over the units of the novel session
    {prefix}_difference=null : float64  # (Hz) novel less familiar, NULL with fewer than 6 units in either
    {prefix}_index=null : float64  # (1) the difference over the greater response in size, -2 to 2
    """


def _responses_of_units(key: Key) -> pd.DataFrame:
    """Return the units of a session that pass the filter: structure, cell class and responses."""
    renamed = {kind: f"novelty_{kind}" for kind in KINDS}
    units = fetch_frame((selection.UnitSelection.Unit & key).proj())[["unit_id"]]
    for query in (
        (NoveltyResponse.Unit & key).proj(**renamed),
        (CellClass.Unit & key).proj(group_cell_class="cell_class"),
    ):
        rows = fetch_frame(query)
        units = units.merge(rows[["unit_id", *set(rows) - set(query.primary_key)]], on="unit_id")
    return units.merge(located_frame(key), on="unit_id")


@schema
class MouseNovelty(OfMice):
    """How the responses of one mouse differ between a familiar and a novel session.

    A row depends on the two sessions of its mouse only, not on other mice: contrasts over mice are a query,
    `schemas.queries.novelty`.
    """

    prefix = "novelty"
    definition = f"""
    # Responses of one mouse in a novel and in a familiar session
    -> selection.UnitSelection.proj(familiar_session_id="session_id")
    -> selection.UnitSelection.proj(novel_session_id="session_id")
    -> NoveltyResponse.proj(familiar_session_id="session_id")
    -> NoveltyResponse.proj(novel_session_id="session_id")
    -> CellClass.proj(familiar_session_id="session_id")
    -> CellClass.proj(novel_session_id="session_id")
    ---
    n_novelty_groups : int32  # groups of units, times kinds of flashes
    {provenance_lines("mouse_novelty")}
    """

    class Group(dj.Part):
        """The units of one structure and cell class in both sessions, in one kind of flashes."""

        definition = f"""
        # Units of one structure and cell class in both sessions
        -> master
        -> ecephys.Structure
        group_cell_class : varchar(16)  # cell class of the units
        group_flashes : varchar(32)  # kind of the flashes, see NoveltyResponse
        ---
        {_group_lines("novelty")}
        """

    @property
    def key_source(self) -> Any:
        """Pairs of a familiar and a novel recording of a mouse, by the filters for populations."""
        labels = CellClass & {"optotag_method": DEFAULT_METHOD}
        units = selection.UnitSelection & self.wanted_filters()
        # Pairs of sessions first: servers expect few rows of joined tables, and compare all of them with all.
        keys = [
            (session.Session & {"experience_level": level}).proj(**{name: "session_id"})
            for level, name in EXPERIENCE.items()
        ]
        for table in (units, NoveltyResponse, labels):
            keys += [table.proj(**{name: "session_id"}) for name in EXPERIENCE.values()]
        return functools.reduce(operator.mul, keys)


@schema
class MouseLayerNovelty(OfMice):
    """The same by cortical layer, for each atlas of layers that is entered."""

    prefix = "layer_novelty"
    definition = f"""
    # Responses of one mouse in both sessions by cortical layer
    -> MouseNovelty
    -> ecephys.ChannelLayer.proj(familiar_session_id="session_id")
    -> ecephys.ChannelLayer.proj(novel_session_id="session_id")
    ---
    n_layer_novelty_groups : int32  # groups of units, times kinds of flashes
    {provenance_lines("mouse_layer_novelty")}
    """

    class Group(dj.Part):
        """The units of one layer of one structure and cell class in both sessions."""

        definition = f"""
        # Units of one layer, structure and cell class in both sessions
        -> master
        -> MouseNovelty.Group
        group_layer : varchar(8)  # 1, 2/3, 4, 5, 6a, 6b, or none elsewhere in the brain
        ---
        {_group_lines("layer_novelty")}
        """

    def located(self, units: pd.DataFrame, key: Key) -> pd.DataFrame:
        """Add the layer of each unit's peak channel."""
        channels = (ecephys.ChannelLayer.Channel & key).proj(
            peak_channel_id="channel_id", group_layer="cortical_layer"
        )
        layers = fetch_frame(
            (ecephys.Recording.Unit.proj("peak_channel_id") * channels & key).proj("group_layer")
        )
        return units.merge(layers[["unit_id", "group_layer"]], on="unit_id")
