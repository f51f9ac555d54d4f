"""The contestants of bench/train.py: each trains the same net on the same examples, `run(n)` takes n steps of every run."""

import functools
import math
import os
import time
from typing import Any, Protocol

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import jax.numpy as jnp
import keras  # pyright: ignore[reportMissingImports]
import numpy as np
import optax
import torch  # pyright: ignore[reportMissingImports]
from flax import nnx
from train_nets import Data, Net

import momentum_jax
from momentum_jax.training import Examples
from momentum_jax.training.plan import plan_waves
from momentum_jax.training.settings import Settings

_LONGEST = 1_000_000


class Contestant(Protocol):
    """`run(n)` takes n steps of each of `runs` runs; `loss` is the latest; `compile_seconds` is not in any step."""

    runs: int
    loss: float
    compile_seconds: float

    def run(self, steps: int) -> None: ...


class Ours:
    """The program that `train_many` drives, in chunks as it drives it, without evaluation."""

    def __init__(self, net: Net, data: Data, runs: int):
        self.runs, self.loss = runs, math.nan
        rows = np.arange(60_000, dtype=np.int32)[None]
        examples = Examples(data.images, data.labels, float(net.scale), rows[:, :50_000], rows[:, :0], rows[:, 50_000:])
        self.waves = plan_waves(
            jax.random.split(jax.random.key(0), runs),
            momentum_jax.heavy_ball,
            {"learning_rate": net.learning_rate, "momentum": net.momentum},
            net.model(),
            examples,
            Settings(_LONGEST, net.batch_size, net.sampling),
        )
        self.placed = [wave.place() for wave in self.waves]
        before = self.waves[0].programs.compile_seconds
        self.states = [wave.programs.begin(wave.run, wave.programs.initialise(wave.run.bare)) for wave in self.waves]
        self.step = 0
        self.run(1)
        self.compile_seconds = self.waves[0].programs.compile_seconds - before

    def run(self, steps: int) -> None:
        for i, wave in enumerate(self.waves):
            begin, end = np.int32(self.step), np.int32(self.step + steps)
            self.states[i] = wave.programs.advance(wave.run, self.states[i], self.placed[i].tables, begin, end)
            jax.block_until_ready(self.states[i])
        self.step += steps
        self.loss = float(self.states[0].losses[0, self.step - 1])

    def evaluation_milliseconds(self) -> float:
        """The whole test set, 10,000 examples, once for each run of one wave; the second time, so without compilation."""
        wave, state = self.waves[0], self.states[0]
        params = wave.programs.readout(wave.run, state)
        arguments = (wave.run.bare, params, state.model_state, self.placed[0].tables, self.placed[0].sets["test"])
        jax.block_until_ready(wave.programs.evaluate(*arguments))
        begun = time.perf_counter()
        jax.block_until_ready(wave.programs.evaluate(*arguments))
        return 1e3 * (time.perf_counter() - begun)


class _Torch:
    """What the PyTorch contestants share: examples as float tensors, permuted once an epoch."""

    def __init__(self, net: Net, data: Data, runs: int):
        self.net, self.runs, self.loss, self.compile_seconds = net, runs, math.nan, 0.0
        self.images, self.labels = (torch.from_numpy(part) for part in data.training_floats(net.scale))
        torch.manual_seed(0)

    def module(self) -> Any:
        """A fresh net."""
        activation = torch.nn.ReLU if self.net.activation == "relu" else torch.nn.Sigmoid
        layers: list[Any] = []
        for fan_in, fan_out in zip(self.net.widths, self.net.widths[1:], strict=False):
            layers += [torch.nn.Linear(fan_in, fan_out), activation()]
            if self.net.squared_error:
                torch.nn.init.uniform_(layers[-2].weight, -0.5, 0.5)
                torch.nn.init.uniform_(layers[-2].bias, -0.5, 0.5)
        return torch.nn.Sequential(*(layers if self.net.squared_error else layers[:-1]))

    def objective(self, outputs: Any, labels: Any) -> Any:
        """Mean loss of a batch."""
        if not self.net.squared_error:
            return torch.nn.functional.cross_entropy(outputs, labels)
        # `torch.nn.functional.one_hot` does not go through vmap.
        targets = (labels[:, None] == torch.arange(10)).to(outputs.dtype)
        return 0.5 * ((outputs - targets) ** 2).sum(dim=-1).mean()


class TorchLoop(_Torch):
    """Eager training of one model after the other; the epoch's permutation is applied to the tensors beforehand."""

    def __init__(self, net: Net, data: Data, runs: int, *, fused: bool, threads: int):
        super().__init__(net, data, runs)
        self.threads = threads
        self.models = [self.module() for _ in range(runs)]
        make = functools.partial(torch.optim.SGD, lr=net.learning_rate, momentum=net.momentum, fused=fused)
        self.optimizers = [make(model.parameters()) for model in self.models]
        self.left = 0
        self.run(3)

    def run(self, steps: int) -> None:
        torch.set_num_threads(self.threads)
        loss: Any = None
        for model, optimizer in zip(self.models, self.optimizers, strict=True):
            for _ in range(steps):
                x, y = self.batch()
                optimizer.zero_grad()
                loss = self.objective(model(x), y)
                loss.backward()
                optimizer.step()
        self.loss = loss.item()

    def batch(self) -> tuple[Any, Any]:
        """The next slice of the permuted tensors."""
        size = self.net.batch_size
        if self.left < size:
            order = torch.randperm(len(self.labels))
            self.shuffled = self.images[order], self.labels[order]
            self.left = len(order) // size * size
        end = self.left
        self.left -= size
        return self.shuffled[0][end - size : end], self.shuffled[1][end - size : end]


class TorchVmap(_Torch):
    """PyTorch's documented model ensembling: `torch.func.vmap` over stacked parameters, each model its own batch."""

    def __init__(self, net: Net, data: Data, runs: int, *, threads: int):
        super().__init__(net, data, runs)
        self.threads = threads
        base = self.module().to("meta")
        self.params, _ = torch.func.stack_module_state([self.module() for _ in range(runs)])
        self.params = {name: value.detach() for name, value in self.params.items()}
        self.velocity = {name: torch.zeros_like(value) for name, value in self.params.items()}

        def loss(params: Any, x: Any, y: Any) -> Any:
            return self.objective(torch.func.functional_call(base, params, (x,)), y)

        self.gradient = torch.func.vmap(torch.func.grad_and_value(loss))
        self.run(3)

    def run(self, steps: int) -> None:
        torch.set_num_threads(self.threads)
        net, losses = self.net, None
        for _ in range(steps):
            rows = torch.randint(len(self.labels), (self.runs, net.batch_size))
            gradients, losses = self.gradient(self.params, self.images[rows], self.labels[rows])
            with torch.no_grad():
                for name, parameter in self.params.items():
                    self.velocity[name].mul_(net.momentum).add_(gradients[name])
                    parameter.add_(self.velocity[name], alpha=-net.learning_rate)
        self.loss = math.nan if losses is None else losses[0].item()


class FlaxNnx:
    """The training loop of Flax's own documentation: `nnx.jit` on a step of module and `nnx.Optimizer`, batches from NumPy."""

    def __init__(self, net: Net, data: Data, runs: int):
        if runs != 1:
            raise ValueError(f"FlaxNnx: runs must be 1, got {runs}.")
        self.net, self.runs, self.loss = net, runs, math.nan
        self.images, self.labels = data.training_floats(net.scale)
        self.rng, self.order, self.at = np.random.default_rng(0), np.arange(0), 0
        activation = jax.nn.relu if net.activation == "relu" else jax.nn.sigmoid

        class Mlp(nnx.Module):
            def __init__(self, rngs: nnx.Rngs):
                pairs = zip(net.widths, net.widths[1:], strict=False)
                self.layers = nnx.List([nnx.Linear(fan_in, fan_out, rngs=rngs) for fan_in, fan_out in pairs])

            def __call__(self, x: Any) -> jax.Array:
                for layer in self.layers[:-1]:
                    x = activation(layer(x))
                x = self.layers[-1](x)
                return activation(x) if net.squared_error else x

        def loss_fn(module: Mlp, x: Any, y: Any) -> jax.Array:
            outputs = module(x)
            if net.squared_error:
                return 0.5 * ((outputs - jax.nn.one_hot(y, 10)) ** 2).sum(axis=-1).mean()
            return optax.softmax_cross_entropy_with_integer_labels(outputs, y).mean()

        @nnx.jit
        def train_step(module: Mlp, optimizer: Any, x: Any, y: Any) -> jax.Array:
            loss, gradients = nnx.value_and_grad(loss_fn)(module, x, y)
            optimizer.update(module, gradients)
            return loss

        self.module = Mlp(nnx.Rngs(0))
        self.optimizer = nnx.Optimizer(self.module, optax.sgd(net.learning_rate, net.momentum), wrt=nnx.Param)
        self.train_step = train_step
        begun = time.perf_counter()
        self.run(1)
        self.compile_seconds = time.perf_counter() - begun

    def run(self, steps: int) -> None:
        size, loss = self.net.batch_size, None
        for _ in range(steps):
            if self.at + size > len(self.order):
                self.order, self.at = self.rng.permutation(len(self.labels)), 0
            rows = self.order[self.at : self.at + size]
            self.at += size
            loss = self.train_step(self.module, self.optimizer, self.images[rows], self.labels[rows].astype(np.int32))
        self.loss = math.nan if loss is None else float(loss)


class KerasFit:
    """`Model.fit` of Keras on its JAX backend; one call per `run`, over as many examples as that takes."""

    def __init__(self, net: Net, data: Data, runs: int):
        if runs != 1:
            raise ValueError(f"KerasFit: runs must be 1, got {runs}.")
        self.net, self.runs, self.loss = net, runs, math.nan
        self.images, labels = data.training_floats(net.scale)
        self.labels = np.eye(10, dtype=np.float32)[labels] if net.squared_error else labels

        def half_squared_error(targets: Any, outputs: Any) -> Any:
            return keras.ops.sum(0.5 * (targets - outputs) ** 2, axis=-1)

        hidden = [keras.layers.Dense(width, activation=net.activation) for width in net.widths[1:-1]]
        output = keras.layers.Dense(10, activation=net.activation if net.squared_error else None)
        self.model = keras.Sequential([keras.Input((net.widths[0],)), *hidden, output])
        self.model.compile(
            optimizer=keras.optimizers.SGD(net.learning_rate, net.momentum),
            loss=half_squared_error if net.squared_error else keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        begun = time.perf_counter()
        self.run(2)
        self.compile_seconds = time.perf_counter() - begun

    def run(self, steps: int) -> None:
        whole, rest = divmod(steps, len(self.labels) // self.net.batch_size)
        if whole:
            self._fit(len(self.labels) // self.net.batch_size * self.net.batch_size, whole)
        if rest:
            self._fit(rest * self.net.batch_size, 1)

    def _fit(self, examples: int, epochs: int) -> None:
        history = self.model.fit(
            self.images[:examples],
            self.labels[:examples],
            batch_size=self.net.batch_size,
            epochs=epochs,
            verbose=0,  # pyright: ignore[reportArgumentType]
        )
        self.loss = float(history.history["loss"][-1])


def contestants(net: Net, data: Data, runs: int) -> dict[str, Contestant]:
    """All that can train so many runs of the net, warmed up and compiled. PyTorch with one thread and with all cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    found: dict[str, Contestant] = {"momentum_jax": Ours(net, data, runs)}
    for threads in sorted({1, cores}):
        found[f"torch loop, {threads} thr."] = TorchLoop(net, data, runs, fused=False, threads=threads)
        found[f"torch fused, {threads} thr."] = TorchLoop(net, data, runs, fused=True, threads=threads)
        if runs > 1:
            found[f"torch.func.vmap, {threads} thr."] = TorchVmap(net, data, runs, threads=threads)
    if runs == 1:
        found |= {"Flax NNX": FlaxNnx(net, data, runs), "Keras on JAX": KerasFit(net, data, runs)}
    return found


def device_kind() -> str:
    """What JAX computes on."""
    return f"{jnp.zeros(()).device} of {jax.local_device_count()}"
