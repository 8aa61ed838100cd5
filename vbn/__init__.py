"""The Visual Behavior Neuropixels data set and its science: files in, arrays and data frames out.

Nothing here knows of a database. ``vbn.nwb`` reads the release's NWB files, ``vbn.analysis`` holds
the numerical definitions, ``vbn.plots`` draws, ``vbn.synthetic`` writes sessions with a known truth.
"""

__version__ = "0.1.0"
