"""Brain structures: names, parents and groups of the acronyms used in the release.

Acronyms, names and parents are those of the Allen Mouse Brain Common Coordinate Framework (CCFv3, 2017
ontology; Wang et al. 2020, Cell 181:936), without layers and substructures, as in the release. The groups are
ours: coarse names for queries (``visual cortex``, ``thalamus``, ...). ``VISrl`` and ``VISa`` belong to the
posterior parietal areas in the ontology, but are visual areas here, as in the publications on this data set.
``root`` (fibre tract or outside the brain) and ``grey`` (unlabelled, below cortex) are acronyms of the
release, in the group ``unassigned``.
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


@cache
def structure_aliases() -> dict[str, str]:
    """Return other names of structures in the literature, in lower case -> acronym; sources are in the file.

    Examples
    --------
    >>> structure_aliases()["v1"], structure_aliases()["lgn"]
    ('VISp', 'LGd')
    """
    with resources.files("vbn.anatomy").joinpath("aliases.csv").open() as file:
        frame = pd.read_csv(file, dtype=str, keep_default_na=False)
    return dict(zip(frame["alias"].str.lower(), frame["structure_acronym"], strict=True))
