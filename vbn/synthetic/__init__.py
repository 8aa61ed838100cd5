"""Synthetic recordings in the layout of the release's files, with a known ground truth.

>>> from vbn.synthetic import SyntheticSettings
>>> SyntheticSettings(sessions=1, minutes=4).probes
2

:func:`write_sessions` writes the files; ``ground_truth.json`` beside them records what was injected.
"""

from vbn.synthetic.dataset import session_path, write_sessions
from vbn.synthetic.settings import SyntheticSettings

__all__ = ["SyntheticSettings", "session_path", "write_sessions"]
