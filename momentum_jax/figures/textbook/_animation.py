"""Animations whose still part is drawn once, where Matplotlib's own writers draw all of it for every frame."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

MILLISECONDS_A_FRAME = 80
DOTS_AN_INCH = 100
COLOURS = 128


@dataclass(frozen=True, eq=False)
class Animation:
    """A figure of which only some artists move.

    Attributes:
      figure: with the moving artists on it, `animated=True`.
      update: `update(frame)` moves them and returns them, in the order in which they are drawn.
      frames: which frames there are, in their order.
    """

    figure: Figure
    update: Callable[[int], Iterable[Artist]]
    frames: Iterable[int]

    def images(self) -> list[Image.Image]:
        """The frames."""
        self.figure.set_dpi(DOTS_AN_INCH)
        canvas = FigureCanvasAgg(self.figure)
        canvas.draw()
        still = canvas.copy_from_bbox(self.figure.bbox)
        images = []
        for frame in self.frames:
            canvas.restore_region(still)
            for artist in self.update(frame):
                self.figure.draw_artist(artist)
            images.append(Image.fromarray(np.array(canvas.buffer_rgba())).convert("RGB").quantize(COLOURS))
        return images

    def gif(self) -> bytes:
        """A GIF that begins anew when it ends."""
        first, *others = self.images()
        written = io.BytesIO()
        first.save(written, "GIF", save_all=True, append_images=others, duration=MILLISECONDS_A_FRAME, loop=0)
        return written.getvalue()

    def save(self, path: str | Path) -> None:
        """Writes the GIF."""
        Path(path).write_bytes(self.gif())
