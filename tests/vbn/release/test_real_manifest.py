"""The real manifest of a release, listed from a copy on this machine."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from populate.cli import vbn_command
from vbn.errors import NotFoundError

MANIFEST = "visual-behavior-neuropixels_project_manifest_v0.3.0.json"
EXCERPTS = ("ecephys_sessions", "behavior_sessions")  # of which real rows are at hand, not all


@pytest.mark.corpus
def test_the_real_manifest_is_listed_from_a_copy(real_release: Path, tmp_path: Path) -> None:
    """Its hash of the table of probes holds; those of the tables that are excerpts are the excerpts'."""
    bucket = tmp_path / "bucket" / "visual-behavior-neuropixels"
    shutil.copytree(real_release / "project_metadata", bucket / "project_metadata")
    manifest = json.loads((real_release / MANIFEST).read_text())
    for name in EXCERPTS:
        content = (bucket / "project_metadata" / f"{name}.csv").read_bytes()
        manifest["metadata_files"][name]["file_hash"] = hashlib.blake2b(content).hexdigest()
    (bucket / "manifests").mkdir()
    (bucket / "manifests" / MANIFEST).write_text(json.dumps(manifest))
    words = ["release", "list", "--from-url", bucket.parent.as_uri(), "--cache", str(tmp_path / "cache")]
    for source in (words[3], str(bucket.parent)):
        done = CliRunner().invoke(vbn_command, [*words[:3], source, *words[4:]], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        assert "19 sessions of version 0.3.0." in done.output


@pytest.mark.corpus
def test_a_copy_of_the_manifest_alone_lists_its_files(real_release: Path, tmp_path: Path) -> None:
    source, cache = tmp_path / "copy", str(tmp_path / "cache")
    source.mkdir()
    shutil.copy(real_release / MANIFEST, source)

    def listed(*criteria: str) -> Result:
        words = ["release", "list", "--from-url", source.as_uri(), "--cache", cache, *criteria]
        return CliRunner().invoke(vbn_command, words)

    done = listed("--json")
    assert done.exit_code == 0, done.output
    assert len(json.loads(done.stdout)) == 153
    assert "only the file names of the sessions are known" in done.stderr
    assert "153 sessions of version 0.3.0." in listed().stdout
    assert "1 sessions of version 0.3.0." in listed("--session", "1052342277").stdout
    refused = listed("--experience", "Novel")
    assert isinstance(refused.exception, NotFoundError)
    assert "by their number and kind only" in str(refused.exception)
