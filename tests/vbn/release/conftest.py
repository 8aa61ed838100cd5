"""A small release, made by hand: three recordings, two behaviour-only sessions, two LFP files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

PROJECT = "visual-behavior-neuropixels"
BUCKET = "https://visual-behavior-neuropixels-data.s3.us-west-2.amazonaws.com"

ECEPHYS = """\
ecephys_session_id,behavior_session_id,date_of_acquisition,equipment_name,session_type,mouse_id,genotype,sex,\
age_in_days,unit_count,probe_count,structure_acronyms,image_set,session_number,experience_level,file_id,\
abnormal_histology,abnormal_activity
101,201,2020-11-18 15:20:11+00:00,NP.1,EPHYS_1_images_G_3uL_reward,527749,wt/wt,M,119,30,2,\
"['CA1', 'DG-mo', 'VISp', 'root']",G,1,Familiar,870,,
102,202,2020-11-19 15:20:11+00:00,NP.1,EPHYS_1_images_H_3uL_reward,527749,wt/wt,M,120,30,2,\
"['LP', 'VISam', 'VISp']",H,2,Novel,871,,"[1043.5]"
103,203,2020-11-20 15:20:11+00:00,NP.0,EPHYS_1_images_G_5uL_reward,530862,wt/wt,F,140,20,1,\
"['MRN', 'root']",G,1,Familiar,872,['MRN'],
"""
# 205: a HABITUATION whose ecephys session is no recording of the release; 206 has no file.
BEHAVIOR = """\
behavior_session_id,ecephys_session_id,session_number,file_id,session_type,mouse_id,genotype,sex,age_in_days,\
image_set,date_of_acquisition,equipment_name
201,101.0,31,-999,EPHYS_1_images_G_3uL_reward,527749,wt/wt,M,119,G,2020-11-18 15:20:11+00:00,NP.1
202,102.0,32,-999,EPHYS_1_images_H_3uL_reward,527749,wt/wt,M,120,H,2020-11-19 15:20:11+00:00,NP.1
203,103.0,12,-999,EPHYS_1_images_G_5uL_reward,530862,wt/wt,F,140,G,2020-11-20 15:20:11+00:00,NP.0
204,,1,873,TRAINING_0_gratings_autorewards_15min,527749,wt/wt,M,80,,2020-10-01 15:20:11+00:00,BEH.B-Box1
205,999.0,30,874,HABITUATION_5_images_G_handoff_ready_3uL_reward,527749,wt/wt,M,118,G,\
2020-11-17 15:20:11+00:00,NP.1
206,,2,,TRAINING_1_gratings,527749,wt/wt,M,81,,2020-10-02 15:20:11+00:00,BEH.B-Box1
"""
# 13 has no LFP and carries the file id of another probe's file.
PROBES = """\
ecephys_probe_id,ecephys_session_id,name,has_lfp_data,file_id
11,101,probeA,True,0
12,101,probeC,True,1
13,102,probeA,False,0
14,103,probeB,True,77
"""
OTHER_TABLES = {"channels": "ecephys_channel_id\n1\n", "units": "unit_id\n1\n"}

DATA = {
    "870": "behavior_ecephys_sessions/101/ecephys_session_101.nwb",
    "871": "behavior_ecephys_sessions/102/ecephys_session_102.nwb",
    "872": "behavior_ecephys_sessions/103/ecephys_session_103.nwb",
    "873": "behavior_only_sessions/204/behavior_session_204.nwb",
    "874": "behavior_only_sessions/205/behavior_session_205.nwb",
    "0": "behavior_ecephys_sessions/101/probe_probeA_lfp.nwb",
    "1": "behavior_ecephys_sessions/101/probe_probeC_lfp.nwb",
}


@dataclass(frozen=True)
class SmallRelease:
    """A release on this disk.

    ``folder`` is the bucket or the cache, ``data_folder`` what relative paths begin from.
    """

    folder: Path
    data_folder: Path
    manifest_path: Path

    def content(self, key: str) -> bytes:
        return (self.data_folder / DATA[key]).read_bytes()


def write_release(
    folder: Path, version: str = "0.5.0", layout: str = "bucket", bytes_each: int = 300_000
) -> SmallRelease:
    rng = np.random.default_rng(7)
    name = PROJECT if layout == "bucket" else f"{PROJECT}-{version}"
    tables = {"ecephys_sessions": ECEPHYS, "behavior_sessions": BEHAVIOR, "probes": PROBES, **OTHER_TABLES}
    contents = {f"project_metadata/{table}.csv": text.encode() for table, text in tables.items()}
    contents |= {path: rng.bytes(bytes_each + index) for index, path in enumerate(DATA.values())}
    for path, content in contents.items():
        target = folder / name / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    manifest = folder / (f"{PROJECT}/manifests" if layout == "bucket" else "") / manifest_name(version)
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.write_text(json.dumps(manifest_content(contents, list(tables), version)))
    return SmallRelease(folder, folder / name, manifest)


def manifest_name(version: str) -> str:
    return f"{PROJECT}_project_manifest_v{version}.json"


def manifest_content(contents: dict[str, bytes], tables: list[str], version: str) -> dict[str, Any]:
    def entry(path: str) -> dict[str, str]:
        return {
            "url": f"{BUCKET}/{PROJECT}/{path}",
            "version_id": f"v.{len(path)}",
            "file_hash": hashlib.blake2b(contents[path]).hexdigest(),
        }

    return {
        "project_name": PROJECT,
        "manifest_version": version,
        "data_pipeline": [{"name": "AllenSDK", "version": "2.16.2", "comment": "x"}],
        "metadata_file_id_column_name": "file_id",
        "metadata_files": {table: entry(f"project_metadata/{table}.csv") for table in tables},
        "data_files": {key: entry(path) for key, path in DATA.items()},
    }


@pytest.fixture
def write_small_release() -> Callable[..., SmallRelease]:
    return write_release


@pytest.fixture
def bucket(tmp_path: Path) -> SmallRelease:
    """A copy of the bucket in a folder."""
    return write_release(tmp_path / "bucket")


@pytest.fixture
def cached(tmp_path: Path) -> SmallRelease:
    """AllenSDK's cache folder."""
    return write_release(tmp_path / "cached", layout="cache")


@pytest.fixture
def corpus_tables(corpus: Path) -> dict[str, pd.DataFrame]:
    return {path.stem: pd.read_csv(path) for path in (corpus / "project_metadata").glob("*.csv")}
