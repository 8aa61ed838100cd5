"""Take the pictures of the page at three widths: docs/img/page_*.png, of the demo's database.

python docs/make_screenshots.py FOLDER_OF_THE_DEMO
"""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

IMAGES = Path(__file__).parent / "img"
WIDTHS = {"": 1400, "_820": 820, "_390": 390}
"""End of the name of a picture -> width of the window (pixels)."""
HEIGHT = 1000
COLOURS = 256
FIGURE_TIMEOUT_MS = 120_000


def main(folder: Path) -> None:
    """Serve the demo's database, and look at it."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "populate", "serve", "--port", str(port)]
    environment = {**os.environ, "VBN_HOME": str(folder.resolve())}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            take_pictures(server.stdout.readline().split()[0])
        finally:
            server.terminate()


def take_pictures(url: str) -> None:
    """Open each page at each width, wait for its figures, and write its picture."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for end, width in WIDTHS.items():
            page = browser.new_page(viewport={"width": width, "height": HEIGHT})
            page.set_default_timeout(FIGURE_TIMEOUT_MS)
            for name in ("status", "sessions", "session", "across", "issues"):
                page.goto(url + ("" if name == "status" else name))
                if name == "session":
                    page.locator(".window").wait_for()
                save(page, name + end)
            page.goto(f"{url}units?structure=VISp&where=snr+%3E+2&sort=-snr&filter=cell_class")
            page.locator("text=Quality filter").wait_for()
            save(page, "units" + end)
            page.locator("td a[href*='unit?unit=']").nth(4).click()
            page.wait_for_url("**unit?unit=*")
            save(page, "unit" + end)
            page.goto(f"{url}nothing")
            save(page, "unknown" + end)
            page.close()
        browser.close()


def save(page: Any, name: str) -> None:
    """Write a picture in few colours, when all that the page shows is there."""
    page.locator("h1").wait_for()
    for waiting in page.locator("main .waiting").all():
        waiting.wait_for(state="detached")
    page.wait_for_timeout(500)  # for the last picture to be shown
    for place in page.locator(".place").all():  # the same on every machine
        place.evaluate("each => { each.textContent = 'embedded PostgreSQL'; }")
    bottom = page.locator("main").evaluate("main => main.getBoundingClientRect().bottom")
    shown = {"x": 0, "y": 0, "width": page.viewport_size["width"], "height": min(HEIGHT, bottom)}
    picture = Image.open(io.BytesIO(page.screenshot(clip=shown))).convert("RGB")
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(IMAGES / f"page_{name}.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
