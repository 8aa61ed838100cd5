"""The public release of Visual Behavior Neuropixels: listing and downloading it.

::

    release = Release(cache_folder="allen")
    plan = release.plan(Selection(mice=("524761",), structures=("VISp",)))
    results = release.download(plan)

The result is AllenSDK's cache folder, which AllenSDK can use as well. No database is needed, and no NWB file
is read.
"""

from vbn.release.cache import Cache, CachedFile, content_hash, find_caches
from vbn.release.download import Download, Progress, download, missing_bytes
from vbn.release.manifest import PROJECT, Manifest, ManifestFile, version_key, version_of
from vbn.release.names import NamedFile, parse_name
from vbn.release.release import TABLES, Release
from vbn.release.selection import SESSION_COLUMNS, Selection, choose, list_sessions
from vbn.release.sources import BUCKET_URL, ManifestPlace, find_manifests

__all__ = [
    "BUCKET_URL",
    "PROJECT",
    "SESSION_COLUMNS",
    "TABLES",
    "Cache",
    "CachedFile",
    "Download",
    "Manifest",
    "ManifestFile",
    "ManifestPlace",
    "NamedFile",
    "Progress",
    "Release",
    "Selection",
    "choose",
    "content_hash",
    "download",
    "find_caches",
    "find_manifests",
    "list_sessions",
    "missing_bytes",
    "parse_name",
    "version_key",
    "version_of",
]
