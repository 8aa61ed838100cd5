"""Shares of units that pass each labeling method, by Cre line."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from schemas import optotagging, session
from schemas.queries.methods import require_present_methods
from schemas.queries.projects import Names, of_one_project
from vbn.analysis.optotagging import tagged_shares
from vbn.errors import NotFoundError

COLUMNS = ["optotag_method", "session_id", "genotype", "optotag_passes"]


def shares_by_line(
    methods: Sequence[str] = (), *, project: Names = None, allow_mixed: bool = False
) -> pd.DataFrame:
    """Return one row per method and line; see `vbn.analysis.optotagging.tagged_shares`.

    ``project`` names the data sets of the sessions, ``all`` to join them; required if there are several.

    Sessions without a laser table, and units without enough evidence, are left out: none could pass. With
    ``allow_mixed`` labels that an earlier method gave are included.

    Raises
    ------
    NotFoundError
        If a method does not exist.
    ConflictError
        If some labels were computed by an earlier method.
    SettingError
        If labels are of several projects, and none is named.
    """
    known = [str(name) for name in optotagging.OptotagMethod.to_arrays("optotag_method")]
    if unknown := sorted(set(methods) - set(known)):
        raise NotFoundError(f"No such method: {', '.join(unknown)}. There are: {', '.join(known)}.")
    wanted = [{"optotag_method": name} for name in methods or known]
    require_present_methods({optotagging.OptotagLabel: {}}, wanted, allow_mixed=allow_mixed)
    measured = optotagging.Optotagging & {"optotag_outcome": "measured"}
    labelled = session.Session & measured.proj()
    measured = measured & of_one_project(labelled, project, "The report").proj()
    units = (optotagging.OptotagLabel.Unit & measured & wanted).proj("optotag_passes")
    rows = (units * session.Mouse.proj("genotype")).proj("genotype", "optotag_passes").to_dicts()
    labels = pd.DataFrame(rows, columns=COLUMNS)
    return tagged_shares(labels.rename(columns={"optotag_method": "method", "optotag_passes": "passes"}))
