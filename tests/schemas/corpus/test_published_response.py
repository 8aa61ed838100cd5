"""The published responsiveness of the corpora's units, computed anew by the published steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from schemas import responses
from schemas.reading.session_frames import flashes_frame, trials_frame
from tests.vbn.analysis.responses.test_published_response import compare_with_the_source

pytestmark = [pytest.mark.corpus, pytest.mark.files]  # the same on both servers


def test_all_values_are_those_of_the_published_steps(recorded: Any) -> None:
    key = {**recorded.key, "published_response_params": "bennett_2025"}
    master = (responses.PublishedResponse & key).fetch1()
    stored = (responses.PublishedResponse.Unit & key).to_dicts()[::5]  # SciPy takes its time
    times = recorded.spike_times
    names = {
        name: name.removeprefix("bennett_2025_") + "_hz" * ("_rate_" in name or name.endswith("_evoked"))
        for name in stored[0]
    }
    rows = [
        {names[name]: np.nan if value is None else value for name, value in row.items()}
        | {"n_matched_images": master["n_bennett_2025_matched_images"]}
        for row in stored
    ]
    compare_with_the_source(
        rows,
        master["bennett_2025_image_names"],
        [times[row["unit_id"]] for row in stored],
        flashes_frame(master),
        trials_frame(master),
    )
