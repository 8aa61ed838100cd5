"""Whether a published folder is as it was published."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from tqdm import tqdm

from populate.output.publish.arrays import have_copied_again
from populate.output.publish.folder import PublishFolder
from schemas.server.published import ARRAYS, PublishedFolder
from vbn.errors import InvalidContentError


def changed_files(folder: Path) -> list[str]:
    """Return what is wrong with the files of a published folder, a line each; none if all is as it was.

    Arrays that are damaged are copied again when the folder is published the next time.

    Raises
    ------
    NotFoundError, InvalidContentError
        If it has no list of files that can be used.
    """
    published = PublishedFolder.read(folder)
    found, arrays = [], []
    for name in tqdm(published.checksums, desc="check", unit="file", disable=not sys.stderr.isatty()):
        try:
            published.checked(name)
        except InvalidContentError as error:
            found.append(f"{name}: {error.problem}")
            if name.startswith(f"{ARRAYS}/"):
                arrays.append(name.removeprefix(f"{ARRAYS}/"))
    with contextlib.suppress(OSError):  # whoever may not write the folder does not publish into it
        have_copied_again(PublishFolder(folder), arrays)
    return found + [f"{name}: it was not published." for name in sorted(PublishFolder(folder).others())]
