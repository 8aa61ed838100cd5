"""Which mice carry channelrhodopsin in a cell class."""

from __future__ import annotations


def is_cre_positive(genotype: str | None) -> bool:
    """Tell whether a genotype or a Cre line names a Cre driver: not so ``wt/wt``, empty or missing text.

    Examples
    --------
    >>> is_cre_positive("Sst-IRES-Cre/wt;Ai32(RCL-ChR2(H134R)_EYFP)/wt"), is_cre_positive("wt/wt")
    (True, False)
    """
    return isinstance(genotype, str) and "cre" in genotype.lower()
