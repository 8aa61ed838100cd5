"""Run the lines of docs/tools.md on the demo, and keep the pictures that they draw: docs/img/tools_*.png.

python docs/make_tool_pictures.py demo    # the demo's folder

Those of packages that are not installed are left as they are.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import matplotlib
from make_pictures import IMAGES, shrink

PAGE = Path(__file__).parent / "tools.md"
PACKAGES = ("nemos", "spikeinterface")


def main(demo: Path) -> None:
    """Export the file that the page reads, run its lines, and keep the pictures."""
    os.environ.update(VBN_HOME=str(demo.absolute()), DJ_IGNORE_CONFIG_FILE="true")
    matplotlib.use("agg")
    matplotlib.rcParams["savefig.dpi"] = 170
    names: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for language, block in re.findall(r"```(python|console)\n(.*?)```", PAGE.read_text(), re.DOTALL):
            if language == "console":
                for line in re.findall(r"^\$ vbn (export .*)$", block, re.MULTILINE):
                    subprocess.run([sys.executable, "-m", "populate", *line.split()], check=True)
                continue
            if not any(name in block and find_spec(name) is None for name in PACKAGES):
                exec(block, names)  # noqa: S102 - the page is ours
        for picture in Path(folder).glob("tools_*.png"):
            shrink(picture, IMAGES / picture.name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
