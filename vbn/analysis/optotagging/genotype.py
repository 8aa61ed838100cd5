"""Which mice express channelrhodopsin in a cell class."""

from __future__ import annotations


def is_cre_positive(genotype: str | None) -> bool:
    """Return whether a genotype or Cre line names a Cre driver; False for ``wt/wt`` and where it is missing.

    Examples
    --------
    >>> is_cre_positive("Sst-IRES-Cre/wt;Ai32(RCL-ChR2(H134R)_EYFP)/wt"), is_cre_positive("wt/wt")
    (True, False)
    """
    return isinstance(genotype, str) and "cre" in genotype.lower()
