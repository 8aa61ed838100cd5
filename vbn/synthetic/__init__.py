"""Synthetic recordings with the layout of the release's files and a known truth.

>>> from vbn.synthetic import SyntheticSettings
>>> SyntheticSettings(sessions=1, minutes=4).probes
2

:func:`write_sessions` writes the files; ``ground_truth.json`` beside them says what was put in.
"""

from vbn.synthetic.dataset import session_path, write_sessions
from vbn.synthetic.settings import SyntheticSettings

__all__ = ["SyntheticSettings", "session_path", "write_sessions"]
