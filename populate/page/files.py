"""What the page gives as files: figures, images of the task, and metrics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from populate.output import metrics
from populate.page import content, figures
from populate.page.database_thread import DatabaseThread
from populate.page.handlers import DatabaseHandler
from vbn.errors import VbnError

KEPT_S = 3600
"""How long a browser keeps the picture of an image."""


class PictureFile(DatabaseHandler):
    """A figure as a file: ``/figure/NAME.pdf?session=...``."""

    async def get(self, name: str, kind: str) -> None:
        """Send the file, or a message why there is none."""
        query = {word: self.get_query_argument(word) for word in self.request.query_arguments}
        try:
            file = await self.ask_kept(figures.file_of, name, kind, query)
        except VbnError as error:
            await self.fail(error)
            return
        self.set_header("Content-Type", figures.KINDS[kind])
        file_name = figures.file_name(name, kind, query)
        self.set_header("Content-Disposition", f'attachment; filename="{file_name}"')
        await self.finish(file)


class ImageFile(DatabaseHandler):
    """The small picture of an image of the task: ``/image?name=im012_r``."""

    async def get(self) -> None:
        """Send the picture, which never changes, or a message why there is none."""
        try:
            picture = await self.ask(content.image_png, self.get_query_argument("name", ""))
        except VbnError as error:
            await self.fail(error)
            return
        self.set_header("Content-Type", "image/png")
        self.set_header("Cache-Control", f"private, max-age={KEPT_S}")
        await self.finish(picture)


class Metrics(DatabaseHandler):
    """The metrics of `vbn metrics`: ``/metrics``."""

    def initialize(self, thread: DatabaseThread, backups: Sequence[Path] = ()) -> None:
        """Keep the thread that runs queries, and the folders of backups."""
        super().initialize(thread)
        self.backups = backups

    async def get(self) -> None:
        """Send the metrics, or a message why there are none."""
        try:
            text = await self.ask_long(metrics.metrics_text, self.backups)
        except VbnError as error:
            self.set_status(503)
            text = f"{error}\n"
        self.set_header("Content-Type", metrics.CONTENT_TYPE)
        await self.finish(text)
