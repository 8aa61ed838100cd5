"""The images that were shown: as sent to the monitor (warped) and as seen by the mouse (unwarped).

One image of the release is 1200 x 1920 pixels, 2.3 MB warped and 18 MB unwarped; the next function must
hold one at a time.
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vbn.nwb.hdf5.recording import RecordingFile, reading
from vbn.nwb.hdf5.walk import names_in
from vbn.nwb.readers.columns import Table

TEMPLATES = "stimulus/templates"


@dataclass(frozen=True)
class StimulusTemplate:
    """One image.

    Parameters
    ----------
    image_set : name of the group that holds it, with the date of the set.
    image_name : as in the presentations.
    warped : (rows, columns) uint8, as sent to the monitor, which stands at an angle.
    unwarped : (rows, columns) float64, as the mouse saw it; NaN off the screen.
    """

    image_set: str
    image_name: str
    warped: NDArray[np.uint8]
    unwarped: NDArray[np.float64]


def read_stimulus_templates(session: RecordingFile) -> Iterator[StimulusTemplate]:
    """Read the images of a session, one after the other.

    Parameters
    ----------
    session : the open file.

    Yields
    ------
    StimulusTemplate
        In the file's order, which is that of ``image_index``; none when the file has no images.

    Raises
    ------
    InvalidContentError
        Names, warped and unwarped images do not fit each other.
    """
    with reading(session, "stimulus templates"):
        groups = session.group(TEMPLATES) if session.has(TEMPLATES) else {}
        for image_set in sorted(names_in(groups)):
            yield from _images(session, image_set)


def image_names(session: RecordingFile) -> dict[str, list[str]]:
    """List the images of a session without reading them.

    Parameters
    ----------
    session : the open file.

    Returns
    -------
    dict
        Image set -> names in the order of ``image_index``; empty when the file has no images.
    """
    with reading(session, "stimulus templates"):
        groups = session.group(TEMPLATES) if session.has(TEMPLATES) else {}
        return {image_set: _names(session, image_set) for image_set in sorted(names_in(groups))}


def picture_hash(warped: NDArray[Any]) -> str:
    """Name the pixels of an image as sent to the monitor, by their SHA-256."""
    return hashlib.sha256(np.ascontiguousarray(warped, dtype=np.uint8).tobytes()).hexdigest()


def image_hashes(session: RecordingFile) -> Iterator[tuple[str, str, str]]:
    """Name the pixels of a session's images, of which only those sent to the monitor are read.

    Parameters
    ----------
    session : the open file.

    Yields
    ------
    image_set, image_name, picture_hash : str
        As of `read_stimulus_templates` and in its order.

    Raises
    ------
    InvalidContentError
        Names, warped and unwarped images do not fit each other.
    """
    with reading(session, "stimulus templates"):
        for image_set in sorted(names_in(session.group(TEMPLATES) if session.has(TEMPLATES) else {})):
            names, warped, _ = _stored(session, image_set)
            for number, name in enumerate(names):
                yield image_set, name, picture_hash(warped[number])


def image_thumbnail(image: NDArray[Any], width: int) -> NDArray[np.uint8]:
    """Make a small version of a warped image.

    Parameters
    ----------
    image : (rows, columns) uint8.
    width : columns of the result, at least 1; an image that is no wider stays as it is.

    Returns
    -------
    (round(rows * width / columns), width) uint8
        Each pixel is the rounded mean of the area that it stands for.

    Raises
    ------
    ValueError
        `width` is less than 1, or the image is not two-dimensional or is empty.
    """
    columns = operator.index(width)
    if columns < 1 or image.ndim != 2 or image.size == 0:
        raise ValueError(f"an image and a width of 1 or more are expected: {image.shape} and {width} came.")
    if columns >= image.shape[1]:
        return image.astype(np.uint8)
    rows = max(1, round(image.shape[0] * columns / image.shape[1]))
    small = _area_weights(image.shape[0], rows) @ image @ _area_weights(image.shape[1], columns).T
    thumbnail: NDArray[np.uint8] = np.clip(np.rint(small), 0, 255).astype(np.uint8)
    return thumbnail


def _area_weights(n_in: int, n_out: int) -> NDArray[np.float64]:
    """Give the share (n_out, n_in) of each old pixel in each new one."""
    edges = np.linspace(0, n_in, n_out + 1)
    pixels = np.arange(n_in)
    starts = np.maximum(edges[:-1, np.newaxis], pixels)
    stops = np.minimum(edges[1:, np.newaxis], pixels + 1)
    shares: NDArray[np.float64] = np.clip(stops - starts, 0, None) * (n_out / n_in)
    return shares


def _names(session: RecordingFile, image_set: str) -> list[str]:
    path = f"{TEMPLATES}/{image_set}"
    return [str(name) for name in Table(session, path, "control_description").texts("control_description")]


def _stored(session: RecordingFile, image_set: str) -> tuple[list[str], Any, Any]:
    """Find the names, the warped and the unwarped images of a set without reading the images."""
    path = f"{TEMPLATES}/{image_set}"
    names = _names(session, image_set)
    warped, unwarped = session.dataset(f"{path}/data"), session.dataset(f"{path}/unwarped")
    shapes_fit = warped.ndim == 3 and warped.shape == unwarped.shape and len(names) == len(warped)
    if not shapes_fit or warped.dtype.kind not in "iu" or unwarped.dtype.kind not in "iuf":
        raise session.invalid(
            f"/{path} has {len(names)} names, data of shape {warped.shape} ({warped.dtype}) "
            f"and unwarped of shape {unwarped.shape} ({unwarped.dtype})."
        )
    return names, warped, unwarped


def _images(session: RecordingFile, image_set: str) -> Iterator[StimulusTemplate]:
    names, warped, unwarped = _stored(session, image_set)
    for number, name in enumerate(names):
        yield StimulusTemplate(
            image_set, name, warped[number].astype(np.uint8), unwarped[number].astype(np.float64)
        )
