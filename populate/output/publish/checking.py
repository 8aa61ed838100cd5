"""Whether a published folder is as it was published."""

from __future__ import annotations

import sys
from pathlib import Path

from tqdm import tqdm

from populate.output.publish.folder import PublishFolder
from schemas.server.published import PublishedFolder
from vbn.errors import InvalidContentError


def changed_files(folder: Path) -> list[str]:
    """Return what is wrong with the files of a published folder, a line each; none if all is as it was.

    Raises
    ------
    NotFoundError, InvalidContentError
        If it has no list of files that can be used.
    """
    published = PublishedFolder.read(folder)
    found = []
    for name in tqdm(published.checksums, desc="check", unit="file", disable=not sys.stderr.isatty()):
        try:
            published.checked(name)
        except InvalidContentError as error:
            found.append(f"{name}: {error.problem}")
    return found + [f"{name}: it was not published." for name in sorted(PublishFolder(folder).others())]
