"""Settings and identifiers of a synthetic data set.

All identifiers are above 9,000,000,000, outside the range of the public release, so that synthetic and real
sessions can share a database. They depend on a session's index in the data set, not on the seed: the same
session simulated with another seed has the same identifiers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

CHANNELS_PER_PROBE = 384
PROBE_LETTERS = "ABCDEF"
GENOTYPES = {
    "sst": "Sst-IRES-Cre/wt;Ai32(RCL-ChR2(H134R)_EYFP)/wt",
    "vip": "Vip-IRES-Cre/wt;Ai32(RCL-ChR2(H134R)_EYFP)/wt",
    "wt": "wt/wt",
}
DRIVER_LINES = {"sst": ("Sst-IRES-Cre",), "vip": ("Vip-IRES-Cre",), "wt": ()}
REPORTER_LINES = {"sst": "Ai32(RCL-ChR2(H134R)_EYFP)", "vip": "Ai32(RCL-ChR2(H134R)_EYFP)", "wt": "None"}
TRAJECTORIES = ("GGH", "HHG", "GHG")
"""Image sets of the training, the first and the second recording."""

_FIRST_SESSION_ID = 9_000_000_001
_FIRST_BEHAVIOR_SESSION_ID = 9_000_500_001
_FIRST_PROBE_ID = 9_100_000_001
_FIRST_CHANNEL_ID = 9_200_000_001
_FIRST_UNIT_ID = 9_300_000_001
_FIRST_MOUSE_ID = 990_001
_MAXIMUM_UNITS_PER_PROBE = 5_000
_MAXIMUM_SESSIONS = 2_000


@dataclass(frozen=True)
class SyntheticSettings:
    """Number and size of the sessions, and the seed.

    Parameters
    ----------
    sessions : number of recordings, 1 to 2000. Session ``i`` belongs to mouse ``i // 2``; even sessions are
        the first day (familiar images, set G), odd ones the second day (novel images, set H).
    seed : whole number >= 0. Equal settings with equal seeds give equal data.
    probes : probes per recording, 1 to 6, named ``probeA`` onwards.
    units_per_probe : sorted units per probe, 1 to 5000.
    minutes : length of a recording, 2 to 160 (160 as in the release). All six stimulus blocks are always
        included; below about 8 minutes only a handful of trials fit.
    genotype : short names (``sst``, ``vip``, ``wt``), cycled over the mice.
    mean_rate_hz : mean firing rate over all units of a recording, reached within 8 % by scaling background
        rates, not responses; None for unscaled rates (about 6 Hz on average).
    eye_tracking, laser : whether there is eye tracking, and an optotagging table.
    waveforms : whether mean waveforms are written (252 kB per unit). AllenSDK needs them.
    template_shape : rows and columns of the stored images (1200 x 1920 in real files).
    novelty_hz : None, or a number from 0 to 100: mice whose two sessions differ by novelty, by this rate at
        most twofold (`vbn.synthetic.novelty`), trained in turn as GGH, HHG and GHG, with channels placed in a
        made atlas; 0 for such mice without the effect.
    synapses : pairs of units per recording of which one makes the other fire (`vbn.synthetic.synapses`), 0 to
        1000; fewer where there are not as many units of 4 Hz.

    Raises
    ------
    ValueError
        The message lists all invalid settings.
    """

    sessions: int = 2
    seed: int = 0
    probes: int = 2
    units_per_probe: int = 40
    minutes: float = 8.0
    genotype: tuple[str, ...] = ("sst", "vip", "wt")
    mean_rate_hz: float | None = None
    eye_tracking: bool = True
    laser: bool = True
    waveforms: bool = True
    template_shape: tuple[int, int] = (60, 96)
    novelty_hz: float | None = None
    synapses: int = 0

    def __post_init__(self) -> None:
        problems = [*_whole_number_problems(self), *_other_problems(self)]
        if problems:
            raise ValueError("These settings cannot be used: " + "; ".join(problems) + ".")


def _whole_number_problems(settings: SyntheticSettings) -> list[str]:
    ranges = {
        "sessions": (1, _MAXIMUM_SESSIONS),
        "seed": (0, 2**63 - 1),
        "probes": (1, len(PROBE_LETTERS)),
        "units_per_probe": (1, _MAXIMUM_UNITS_PER_PROBE),
        "synapses": (0, 1000),
    }
    problems = []
    for name, (low, high) in ranges.items():
        value = getattr(settings, name)
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or not low <= value <= high:
            problems.append(f"{name} must be a whole number from {low} to {high}, not {value!r}")
    return problems


def _other_problems(settings: SyntheticSettings) -> list[str]:
    problems = []
    if not _is_number(settings.minutes) or not 2 <= settings.minutes <= 160:
        problems.append(f"minutes must be a number from 2 to 160, not {settings.minutes!r}")
    rate = settings.mean_rate_hz
    if rate is not None and (not _is_number(rate) or not 0.5 <= rate <= 50):
        problems.append(f"mean_rate_hz must be None or a number from 0.5 to 50, not {rate!r}")
    effect = settings.novelty_hz
    if effect is not None and (not _is_number(effect) or not 0 <= effect <= 100):
        problems.append(f"novelty_hz must be None or a number from 0 to 100, not {effect!r}")
    names = settings.genotype
    if not isinstance(names, tuple) or not names or any(name not in GENOTYPES for name in names):
        known = ", ".join(GENOTYPES)
        problems.append(f"genotype must be a tuple of one or more of {known}, not {names!r}")
    shape = settings.template_shape
    if (
        not isinstance(shape, tuple)
        or len(shape) != 2
        or not all(isinstance(n, int) and n >= 8 for n in shape)
    ):
        problems.append(f"template_shape must be two whole numbers of 8 or more, not {shape!r}")
    return problems


def _is_number(value: object) -> bool:
    is_real = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    return is_real and math.isfinite(float(value))  # type: ignore[arg-type]


@dataclass(frozen=True)
class SessionIdentity:
    """Identifiers and metadata of one session: mouse, date, protocol, probes."""

    index: int
    session_id: int
    behavior_session_id: int
    mouse_id: str
    genotype: str
    sex: str
    age_days: int
    image_set: str
    experience_level: str
    reward_volume_ml: float
    equipment_name: str
    start: datetime
    probe_names: tuple[str, ...]

    @property
    def is_novel(self) -> bool:
        """Whether the mouse sees the other image set than in its training."""
        return self.experience_level == "Novel"

    @property
    def session_type(self) -> str:
        """Name of the protocol, as in the file's session description."""
        return f"EPHYS_1_images_{self.image_set}_{round(self.reward_volume_ml * 1000)}uL_reward"

    @property
    def has_channelrhodopsin(self) -> bool:
        """Whether cells respond to the laser (Cre lines crossed with Ai32)."""
        return self.genotype != "wt"

    def probe_id(self, probe: int) -> int:
        """Return the id of the session's probe number ``probe`` (0 to 5)."""
        return _FIRST_PROBE_ID + 10 * self.index + probe

    def channel_ids(self, probe: int) -> np.ndarray:
        """Return the ids of a probe's channels, tip first; with gaps between probes, as in the release."""
        first = _FIRST_CHANNEL_ID + 1000 * (10 * self.index + probe)
        return np.arange(first, first + CHANNELS_PER_PROBE, dtype=np.int64)

    def unit_ids(self, probe: int, n_units: int) -> np.ndarray:
        """Return the ids of a probe's units, ascending."""
        first = _FIRST_UNIT_ID + _MAXIMUM_UNITS_PER_PROBE * (10 * self.index + probe)
        return np.arange(first, first + n_units, dtype=np.int64)


def session_identity(settings: SyntheticSettings, index: int) -> SessionIdentity:
    """Return the identity of session number ``index`` (0 to ``settings.sessions - 1``)."""
    mouse, day = divmod(index, 2)
    trained = "GGH" if settings.novelty_hz is None else TRAJECTORIES[mouse % len(TRAJECTORIES)]
    first_day = datetime(2020, 11, 3, 22, 10, 24, tzinfo=UTC) + timedelta(days=7 * mouse)
    return SessionIdentity(
        index=index,
        session_id=_FIRST_SESSION_ID + index,
        behavior_session_id=_FIRST_BEHAVIOR_SESSION_ID + index,
        mouse_id=str(_FIRST_MOUSE_ID + mouse),
        genotype=settings.genotype[mouse % len(settings.genotype)],
        sex="MF"[mouse % 2],
        age_days=112 + 5 * (mouse % 8) + day,
        image_set=trained[1 + day],
        experience_level="Familiar" if trained[1 + day] == trained[0] else "Novel",
        reward_volume_ml=0.005 if mouse % 4 == 3 else 0.003,
        equipment_name=("NP.1", "NP.0")[mouse % 2],
        start=first_day + timedelta(days=day, minutes=17 * (mouse % 5) - 3 * day),
        probe_names=tuple(f"probe{letter}" for letter in PROBE_LETTERS[: settings.probes]),
    )


def generator(settings: SyntheticSettings, index: int, *stream: int) -> np.random.Generator:
    """Return the random generator for one part of one session, independent of those of other parts."""
    return np.random.default_rng([settings.seed, index, *stream])
