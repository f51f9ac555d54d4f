"""Runs notebooks and stores them with their outputs, small enough for a repository.

    python notebooks/store_outputs.py [NAME ...]

Each runs in an empty directory, as in the tests. Pictures get few colours, and as many pixels as the limit of the file leaves.
"""

import base64
import io
import sys
import tempfile
import warnings
from pathlib import Path

import nbformat
from PIL import Image, ImageSequence

MOST = 200_000
# Twelve figures and an animation cannot be read at 200 kB.
MORE = {"03_what_momentum_is": 420_000}
SIZES = tuple((width, colours) for width in (840, 720, 600, 520) for colours in (48, 32))
# An animation is drawn narrower than a picture, and of its frames only every so many-th.
ANIMATION, EVERY = 0.6, 4


def main() -> None:
    wanted = sys.argv[1:] or [""]
    for path in sorted(Path(__file__).parent.glob("*.ipynb")):
        if any(name in path.stem for name in wanted):
            store(path)
            print(f"{path.name}: {path.stat().st_size:,} bytes")


def store(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    metadata = dict(notebook.metadata)
    with tempfile.TemporaryDirectory() as directory, warnings.catch_warnings():
        # The Jupyter stack warns of its own affairs.
        warnings.simplefilter("ignore")
        from nbclient import NotebookClient

        client = NotebookClient(notebook, timeout=1200, record_timing=False, resources={"metadata": {"path": directory}})
        client.execute()
    notebook.metadata = nbformat.from_dict(metadata)
    pictures = [output.data for cell in notebook.cells for output in cell.get("outputs", ()) if "data" in output]
    drawn = [dict(data) for data in pictures]
    most = MORE.get(path.stem, MOST)
    text = ""
    for width, colours in SIZES:
        for data, full in zip(pictures, drawn, strict=True):
            for kind, shrink in (("image/png", smaller), ("image/gif", smaller_animation)):
                if kind in full:
                    data[kind] = base64.b64encode(shrink(base64.b64decode(full[kind]), width, colours)).decode()
        text = nbformat.writes(notebook) + "\n"
        if len(text.encode()) <= most:
            path.write_text(text)
            return
    sys.exit(f"{path.name}: must have at most {most:,} bytes, has {len(text.encode()):,} with the smallest pictures.")


def smaller(png: bytes, width: int, colours: int) -> bytes:
    written = io.BytesIO()
    # The most different colours: those of thin lines are few pixels among many greys.
    narrowed(Image.open(io.BytesIO(png)), width).quantize(colours, Image.Quantize.MAXCOVERAGE).save(
        written, "PNG", optimize=True
    )
    return written.getvalue()


def smaller_animation(gif: bytes, width: int, colours: int) -> bytes:
    animation = Image.open(io.BytesIO(gif))
    frames = [narrowed(frame, int(width * ANIMATION)) for frame in [*ImageSequence.all_frames(animation)][::EVERY]]
    # One palette for all frames: then only what moves is written.
    palette = frames[-1].quantize(colours, Image.Quantize.MAXCOVERAGE)
    first, *others = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    written = io.BytesIO()
    duration = EVERY * animation.info["duration"]
    first.save(written, "GIF", save_all=True, append_images=others, duration=duration, loop=0, optimize=True)
    return written.getvalue()


def narrowed(image: Image.Image, width: int) -> Image.Image:
    image = image.convert("RGB")
    if image.width <= width:
        return image
    return image.resize((width, image.height * width // image.width), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    main()
