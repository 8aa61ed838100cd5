"""Brain structures: the names, parents and groups of the acronyms that the release uses.

Acronyms, names and parents are those of the Allen Mouse Brain Common Coordinate Framework (CCFv3, 2017
ontology; Wang et al. 2020, Cell 181:936), without layers and substructures, as the release has them.
The groups are ours: coarse names that people ask for (``visual cortex``, ``thalamus``, ...). ``VISrl`` and
``VISa`` stand below the posterior parietal areas in the ontology and are visual areas here, as in the
publications on this data set. ``root`` (fibre tract or outside of the brain) and ``grey`` (no label below
cortex) are acronyms of the release, in the group ``unassigned``.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

import pandas as pd

UNLISTED_GROUP = "unlisted"


@cache
def structures() -> pd.DataFrame:
    """Return the structures, parents before children.

    Returns
    -------
    pandas.DataFrame
        ``acronym``, ``name``, ``parent`` (acronym; None for ``root``), ``group``.
    """
    with resources.files("vbn.anatomy").joinpath("structures.csv").open() as file:
        frame = pd.read_csv(file, dtype=str, keep_default_na=False)
    parents = frame["parent"].astype(object)
    return frame.assign(parent=parents.where(parents != "", None))
