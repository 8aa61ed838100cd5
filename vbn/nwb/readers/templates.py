"""The images shown: as sent to the monitor (warped) and as seen by the mouse (unwarped).

An image of the release has 1200 x 1920 pixels, 2.3 MB warped and 18 MB unwarped, so images are read one at a
time.
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
    """One stimulus image.

    Parameters
    ----------
    image_set : name of the image set in the file, which includes a date.
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
        In file order, which is that of ``image_index``; none if the file has no images.

    Raises
    ------
    InvalidContentError
        Names, warped and unwarped images are inconsistent.
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
        Image set -> names in the order of ``image_index``; empty if the file has no images.
    """
    with reading(session, "stimulus templates"):
        groups = session.group(TEMPLATES) if session.has(TEMPLATES) else {}
        return {image_set: _names(session, image_set) for image_set in sorted(names_in(groups))}


def picture_hash(warped: NDArray[Any]) -> str:
    """Return the SHA-256 of an image's pixels, as sent to the monitor."""
    return hashlib.sha256(np.ascontiguousarray(warped, dtype=np.uint8).tobytes()).hexdigest()


def image_hashes(session: RecordingFile) -> Iterator[tuple[str, str, str]]:
    """Yield the hashes of a session's images, reading only the warped ones.

    Parameters
    ----------
    session : the open file.

    Yields
    ------
    image_set, image_name, picture_hash : str In the order of `read_stimulus_templates`.

    Raises
    ------
    InvalidContentError
        Names, warped and unwarped images are inconsistent.
    """
    with reading(session, "stimulus templates"):
        for image_set in sorted(names_in(session.group(TEMPLATES) if session.has(TEMPLATES) else {})):
            names, warped, _ = _stored(session, image_set)
            for number, name in enumerate(names):
                yield image_set, name, picture_hash(warped[number])


def image_thumbnail(image: NDArray[Any], width: int) -> NDArray[np.uint8]:
    """Return a thumbnail of a warped image.

    Parameters
    ----------
    image : (rows, columns) uint8.
    width : width of the result in pixels, at least 1; an image that is not wider is returned unchanged.

    Returns
    -------
    (round(rows * width / columns), width) uint8
        Each pixel is the rounded mean of the area it covers.

    Raises
    ------
    ValueError
        `width` is less than 1, or the image is not two-dimensional or is empty.
    """
    columns = operator.index(width)
    if columns < 1 or image.ndim != 2 or image.size == 0:
        raise ValueError(f"image must be 2-D and not empty, width 1 or more: got {image.shape} and {width}.")
    if columns >= image.shape[1]:
        return image.astype(np.uint8)
    rows = max(1, round(image.shape[0] * columns / image.shape[1]))
    small = _area_weights(image.shape[0], rows) @ image @ _area_weights(image.shape[1], columns).T
    thumbnail: NDArray[np.uint8] = np.clip(np.rint(small), 0, 255).astype(np.uint8)
    return thumbnail


def _area_weights(n_in: int, n_out: int) -> NDArray[np.float64]:
    """Return (n_out, n_in) weights of the old pixels in each new one."""
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
    """Return names, warped and unwarped images of a set, without reading the images."""
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
