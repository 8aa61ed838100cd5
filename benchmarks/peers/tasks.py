"""What the peers are asked to do: run by their Python, which has nothing of this project.

python tasks.py pynapple DATA.npz       # PSTHs; prints seconds and a checksum
python tasks.py h5py SESSION.nwb        # opening a session, or reading its spike times; prints seconds

Imports, and what a package does once (compiling), are not in the seconds.
"""

import json
import sys
import time
import warnings

import numpy as np


def load(file):
    """Return the trains, the events and the edges of the bins around an event."""
    data = np.load(file)
    trains = np.split(data["spike_times"], np.cumsum(data["n_spikes"])[:-1])
    return trains, data["events"], data["edges"]


def seed(file):
    """Mask the spikes of each event's window, then numpy.histogram, event by event."""
    trains, events, edges = load(file)
    bins = edges - edges[0]

    def psth(train):
        total = np.zeros(len(bins) - 1)
        for event in events:
            start = event + edges[0]
            window = train[(train >= start) & (train < start + bins[-1])]
            total += np.histogram(window - start, bins)[0]
        return total

    psth(trains[0][:1000])
    return timed(lambda: [psth(train) for train in trains])


def pynapple(file):
    """Align all units to the events, and count each unit's spikes in bins."""
    import pynapple as nap

    trains, events, edges = load(file)
    window, bin_s = (edges[0], edges[-1]), round(edges[1] - edges[0], 9)
    whole = nap.IntervalSet(*window)

    def psths(units):
        aligned = nap.compute_perievent(units, nap.Ts(events), window)
        return [aligned[unit].count(bin_s, ep=whole).values.sum(axis=1) for unit in aligned]

    units = nap.TsGroup({unit: nap.Ts(train) for unit, train in enumerate(trains)})
    psths(units[[0]])
    return timed(lambda: psths(units))


def pynapple_trials(file):
    """Count all units' spikes in the bins of each event's window, as trials, and add the trials up."""
    import pynapple as nap

    trains, events, edges = load(file)
    bin_s = round(edges[1] - edges[0], 9)
    units = nap.TsGroup({unit: nap.Ts(train) for unit, train in enumerate(trains)})

    def psths(units):
        # Trials that overlap would be merged: counted one after the other.
        windows = [nap.IntervalSet(event + edges[0], event + edges[-1]) for event in events]
        return sum(units.count(bin_s, ep=window).values[: len(edges) - 1] for window in windows)

    psths(units[[0]])
    return timed(lambda: psths(units))


def elephant(file):
    """Cut each unit's train around the events, and take the time histogram of the pieces."""
    import neo
    import quantities as pq
    from elephant.statistics import time_histogram

    trains, events, edges = load(file)
    start, stop, bin_s = edges[0] * pq.s, edges[-1] * pq.s, round(edges[1] - edges[0], 9) * pq.s
    end = max(max(train[-1] for train in trains), events[-1] + edges[-1]) + 1
    units = [neo.SpikeTrain(train, t_stop=end, units="s") for train in trains]

    def psth(unit):
        pieces = [unit.time_slice(at + start, at + stop).time_shift(-at) for at in events * pq.s]
        return time_histogram(pieces, bin_s, t_start=start, t_stop=stop).magnitude.ravel()

    psth(units[0])
    return timed(lambda: [psth(unit) for unit in units])


def h5py(file):
    """Read the spike times of all units."""
    import h5py as library

    def read():
        with library.File(file) as opened:
            return opened["units/spike_times"][:]

    return timed(read)


def pynwb(file):
    """Open the file and read the spike times of all units."""
    from pynwb import NWBHDF5IO

    def read():
        with NWBHDF5IO(file, "r", load_namespaces=True) as opened:
            return opened.read().units["spike_times"].target.data[:]

    return timed(read)


def allensdk(file):
    """Open the session as its users do, without looking at anything."""
    from allensdk.brain_observatory.ecephys.behavior_ecephys_session import BehaviorEcephysSession

    return timed(lambda: BehaviorEcephysSession.from_nwb_path(file) and [])


def timed(call):
    """Return the seconds, and the sum of what came for comparison."""
    start = time.perf_counter()
    found = call()
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "sum": float(np.sum(found))}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(globals()[sys.argv[1]](sys.argv[2])))
