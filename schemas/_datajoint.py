"""DataJoint, imported without its notice about a missing ``datajoint.json``.

The notice is for people who configure DataJoint by hand; here the absence of a configuration is
a supported state (the embedded server). Every module of this package imports ``dj`` from here.
"""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="No datajoint.json found")
    import datajoint as dj

__all__ = ["dj"]
