"""A step of the product's convolutional net in the trainer, beside PyTorch's, on one core.

    pip install -e ".[bench]" && taskset -c 0 python bench/convolutions.py

28 x 28 images, convolutions of 16 and 32 channels with pooling, 64 hidden units, heavy ball, at batches of 64 and 128. PyTorch
runs its loop of modules with one thread, in its default layout and in channels_last. `strided` is a net of three strided
convolutions by `training.model.convolve` beside the same by XLA's own. Contestants take turns; ratios are of processor time.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from flax import nnx
from measure import Summary, interleaved, machine, ratio, versions, write_json
from rich.console import Console
from rich.table import Table

import momentum_jax as mj
from momentum_jax.training import Examples, Model, classification
from momentum_jax.training.model import cnn, convolve, cross_entropy, from_nnx
from momentum_jax.training.plan import plan_waves
from momentum_jax.training.settings import Settings

IMAGES, LONGEST = 10_000, 100_000
RESULTS = Path(__file__).parent / "results" / "convolutions.json"


class Ours:
    """Steps of one run in the trainer."""

    def __init__(self, model: Model, images: np.ndarray, labels: np.ndarray, batch: int):
        rows = np.arange(len(images), dtype=np.int32)[None]
        examples = Examples(images, labels, 255.0, rows[:, 1:], rows[:, :0], rows[:, :1])
        hyperparameters = {"learning_rate": 0.01, "momentum": 0.9}
        (self.wave,) = plan_waves(
            jax.random.split(jax.random.key(0), 1),
            mj.heavy_ball,
            hyperparameters,
            classification(model, examples),
            None,
            Settings(LONGEST, batch, "shuffle"),
        )
        self.placed, self.step = self.wave.place(), 0
        start = self.wave.programs.initialise(self.wave.run.bare)
        self.state = self.wave.programs.begin(self.wave.run, start)

    def run(self, steps: int) -> None:
        first, last = np.int32(self.step), np.int32(self.step + steps)
        self.state = self.wave.programs.advance(self.wave.run, self.state, self.placed.tables, first, last)
        jax.block_until_ready(self.state)
        self.step += steps


class Torch:
    """The same net in PyTorch."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, batch: int, layout: torch.memory_format):
        torch.set_num_threads(1)
        pixels = torch.from_numpy(images.astype(np.float32) / 255)[:, None]
        self.images, self.labels = pixels.contiguous(memory_format=layout), torch.from_numpy(labels.astype(np.int64))
        layers = (
            *(torch.nn.Conv2d(1, 16, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2)),
            *(torch.nn.Conv2d(16, 32, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2)),
            *(torch.nn.Flatten(), torch.nn.Linear(32 * 7 * 7, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10)),
        )
        self.net = torch.nn.Sequential(*layers).to(memory_format=layout)
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=0.01, momentum=0.9)
        self.batch, self.at = batch, 0

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.at = self.at if self.at + self.batch <= len(self.labels) else 0
            taken = slice(self.at, self.at + self.batch)
            self.optimizer.zero_grad()
            torch.nn.functional.cross_entropy(self.net(self.images[taken]), self.labels[taken]).backward()
            self.optimizer.step()
            self.at += self.batch


class Strided(nnx.Module):
    """Three convolutions with stride 2."""

    def __init__(self, convolution: Callable[..., Any], rngs: nnx.Rngs):
        sizes = ((1, 16, 3), (16, 32, 3), (32, 32, 1))
        self.layers = nnx.List(
            [nnx.Conv(a, b, (k, k), (2, 2), conv_general_dilated=convolution, rngs=rngs) for a, b, k in sizes]
        )
        self.output = nnx.Linear(4 * 4 * 32, 10, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = x[..., None]
        for layer in self.layers:
            x = nnx.relu(layer(x))
        return self.output(x.reshape(len(x), -1))


def strided(convolution: Callable[..., Any]) -> Model:
    return from_nnx(lambda rngs: Strided(convolution, rngs), cross_entropy)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="5 rounds of 0.1 s")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    repeats, seconds = (5, 0.1) if options.quick else (11, 0.4)
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (IMAGES, 28, 28), np.uint8), random.integers(0, 10, IMAGES).astype(np.uint8)
    contests: dict[str, dict[str, Any]] = {
        f"batch {batch}": {
            "ours": Ours(cnn(), images, labels, batch),
            "PyTorch": Torch(images, labels, batch, torch.contiguous_format),
            "PyTorch, channels_last": Torch(images, labels, batch, torch.channels_last),
        }
        for batch in (64, 128)
    }
    contests["strided, batch 64"] = {
        "ours": Ours(strided(convolve), images, labels, 64),
        "XLA's convolution": Ours(strided(jax.lax.conv_general_dilated), images, labels, 64),
    }
    shown, rows = Table("", "contestant", "ms a step", "ours over it, processor time"), []
    for name, contestants in contests.items():
        for contestant in contestants.values():
            contestant.run(3)
        times = interleaved({key: each.run for key, each in contestants.items()}, repeats=repeats, seconds=seconds)
        for key, each in times.items():
            found = ratio(times["ours"].cpu, each.cpu)
            middle = Summary.of(each.cpu).median
            shown.add_row(name, key, f"{1e3 * middle:.2f}", f"{found.median:.2f} \\[{found.low:.2f}, {found.high:.2f}]")
            rows.append({"contest": name, "contestant": key, "seconds": middle, "ours_over_it": found._asdict()})
    Console(width=120).print(shown)
    report = {"machine": machine(), "versions": versions("momentum_jax", "jax", "jaxlib", "flax", "torch", "numpy")}
    write_json(options.output, report | {"rows": rows})


if __name__ == "__main__":
    main()
