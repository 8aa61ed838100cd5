"""Options that all figures share."""

from __future__ import annotations

from pathlib import Path

import click


class FigureFile(click.Path):
    """The file of a figure; its suffix is checked before anything is fetched."""

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path if its suffix is one of the formats."""
        path = Path(super().convert(value, param, ctx))  # type: ignore[arg-type]
        if path.suffix.lower() not in (".png", ".pdf", ".svg"):
            self.fail(f"'{path}' must end in .png, .pdf or .svg.", param, ctx)
        return path


OUT = click.option("--out", type=FigureFile(), required=True, help="File to write: .png, .pdf or .svg.")
