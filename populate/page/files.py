"""What the page gives as files: figures and metrics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from populate.output import metrics
from populate.page import figures
from populate.page.database_thread import DatabaseThread
from populate.page.handlers import DatabaseHandler
from vbn.errors import VbnError


class PictureFile(DatabaseHandler):
    """A figure as a file: ``/figure/NAME.pdf?session=...``."""

    async def get(self, name: str, kind: str) -> None:
        """Send the file, or a message why there is none."""
        query = {word: self.get_query_argument(word) for word in self.request.query_arguments}
        try:
            content = await self.ask_kept(figures.file_of, name, kind, query)
        except VbnError as error:
            await self.fail(error)
            return
        self.set_header("Content-Type", figures.KINDS[kind])
        file_name = figures.file_name(name, kind, query)
        self.set_header("Content-Disposition", f'attachment; filename="{file_name}"')
        await self.finish(content)


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
