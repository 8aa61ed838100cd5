"""DataJoint, imported without its notices.

That ``datajoint.json`` is missing is a supported state here (the embedded server), and that one
of DataJoint's own modules is deprecated concerns DataJoint. Every module of this package imports
``dj`` from here.
"""

from __future__ import annotations

import warnings

from vbn.errors import SettingError

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="No datajoint.json found")
    warnings.filterwarnings("ignore", message="datajoint.migrate is deprecated")
    warnings.filterwarnings("ignore", message="Failed to load config")  # `settings` raises an error
    try:
        import datajoint as dj
        from datajoint.codecs import decode_attribute, get_codec
        from datajoint.declare import prepare_declare
        from datajoint.hash_registry import get_store_backend
        from datajoint.settings import find_config_file
        from datajoint.utils import from_camel_case
    except ValueError as error:  # pydantic's and DataJoint's own, on settings that cannot be used
        raise SettingError(f"DataJoint's settings (DJ_* variables) cannot be used: {error}") from error

__all__ = [
    "decode_attribute",
    "dj",
    "find_config_file",
    "from_camel_case",
    "get_codec",
    "get_store_backend",
    "prepare_declare",
]
