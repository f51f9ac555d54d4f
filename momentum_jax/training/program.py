"""The compiled programs of a group of runs: each function of `loop` over the runs of a wave, spread over the devices."""

import contextlib
import functools
import hashlib
import time
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from momentum_jax.training import loop
from momentum_jax.training.devices import AXIS, available_cores, on_all, on_each

# Of its own accord LLVM uses vectors of 256 bits where a processor has 512: a step of a small net took 1.08 times as long.
_ON_A_CPU: dict[str, Any] = {"xla_cpu_prefer_vector_width": 512}
# What runs once a run need not be fast: LLVM then takes a third of the time over random numbers, to the same bits.
_ONCE: dict[str, Any] = {"xla_backend_optimization_level": 1}


class Program:
    """`function(shared_part, *arguments)` of one run, made into one of a wave.

    The first `own` arguments have a leading axis of runs, the others are the same for all. It compiles when it is first
    called with arguments of new shapes, or when it is told of them. `compile_seconds` adds up how long the
    caller was kept by that. `once`: it is called once a run, so that it should compile fast rather than run fast.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        part: Any,
        mesh: Mesh,
        lanes: int,
        own: int,
        donate: tuple[int, ...] = (),
        once: bool = False,
    ):
        self.compile_seconds = 0.0
        self._mesh = mesh
        self._compiled: dict[Any, Future[Callable[..., Any]]] = {}
        self._identities: dict[Any, bytes] = {}
        on_a_cpu = _ON_A_CPU | _ONCE if once else _ON_A_CPU
        self._options = on_a_cpu if mesh.devices.flat[0].platform == "cpu" else None

        def per_device(*arguments: Any) -> Any:
            each, shared = arguments[:own], arguments[own:]
            # A device holds exactly `lanes` runs. A batch axis of one would cost a CPU half of its speed.
            one_run = lambda mine: function(part, *mine, *shared)  # noqa: E731
            return jax.lax.map(one_run, each) if lanes == 1 else jax.vmap(one_run)(each)

        def wave(*arguments: Any) -> Any:
            specs = (PartitionSpec(AXIS),) * own + (PartitionSpec(),) * (len(arguments) - own)
            # Runs share nothing, so there is nothing to check between devices; and a loop inside an optimizer that starts
            # from a constant would fail the check.
            spread = jax.shard_map(per_device, mesh=mesh, in_specs=specs, out_specs=PartitionSpec(AXIS), check_vma=False)
            return spread(*arguments)

        self._jitted = jax.jit(wave, donate_argnums=donate)

    def announce(self, *arguments: Any) -> None:
        """Begins to compile for arguments, or shapes, like these. XLA works in a thread, beside other programs."""
        key = _shapes(arguments)
        if key not in self._compiled or _is_spent(self._compiled[key]):
            begun = time.perf_counter()
            # Traced in this thread, whose settings JAX reads.
            self._compiled[key] = _compilers().submit(self._jitted.lower(*arguments).compile, self._options)
            self.compile_seconds += time.perf_counter() - begun

    def prepare(self, *arguments: Any) -> Callable[..., Any]:
        """The executable for arguments like these; compiles it where there is none yet."""
        while True:
            self.announce(*arguments)
            compiling = self._compiled[_shapes(arguments)]
            if not compiling.done():
                begun = time.perf_counter()
                # Another call, in another thread, may give up what this one waits for.
                with contextlib.suppress(CancelledError):
                    compiling.exception()
                self.compile_seconds += time.perf_counter() - begun
            if not compiling.cancelled():
                return compiling.result()

    def give_up(self) -> None:
        """Does not compile what was announced and has not begun; who needs it after all begins anew."""
        for compiling in [*self._compiled.values()]:
            compiling.cancel()

    @property
    def is_new(self) -> bool:
        """Whether it was never called and never told of shapes."""
        return not self._compiled

    def identity(self, *arguments: Any) -> bytes:
        """A digest of the program for arguments like these: equal for equal computations, in another process too."""
        key = _shapes(arguments)
        if key not in self._identities:
            program = f"{self._options} {self._jitted.lower(*arguments).as_text()}"
            self._identities[key] = hashlib.sha256(program.encode()).digest()
        return self._identities[key]

    def shapes(self, *arguments: Any) -> Any:
        """The shapes of what it returns, and where that lies."""

        def placed(leaf: Any) -> jax.ShapeDtypeStruct:
            # XLA divides no empty array among the devices.
            place = on_each(self._mesh) if leaf.size else on_all(self._mesh)
            return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place)

        return jax.tree.map(placed, jax.eval_shape(self._jitted, *arguments))

    def __call__(self, *arguments: Any) -> Any:
        return self.prepare(*arguments)(*arguments)


def _is_spent(compiling: Future[Any]) -> bool:
    """Whether a compilation came to nothing: given up, or failed, for which there may have been a passing reason."""
    return compiling.cancelled() or (compiling.done() and compiling.exception() is not None)


def _shapes(arguments: Any) -> Any:
    leaves, structure = jax.tree.flatten(arguments)
    # What a program makes of nothing is as wide as JAX's numbers are when it is traced.
    return structure, jnp.result_type(float), tuple((leaf.shape, leaf.dtype) for leaf in leaves)


class Programs(NamedTuple):
    """The functions of `loop` for the waves of one group, and the names of the scores, and of those that are ranked."""

    initialise: Program
    begin: Program
    advance: Program
    readout: Program
    evaluate: Program
    measure: Program
    score: Program
    scores: tuple[str, ...]
    ranked: tuple[str, ...]

    def announce(self, run: loop.Run, tables: loop.Tables, sets: Iterable[Any]) -> None:
        """Begins to compile all that a wave needs at once; nothing where a wave of the recipe came before.

        Args:
          sets: indices of what is evaluated, or None where there are no data.
        """
        if not self.advance.is_new:
            return
        self.initialise.announce(run.bare)
        start = self.initialise.shapes(run.bare)
        self.begin.announce(run, start)
        state = self.begin.shapes(run, start)
        self.advance.announce(run, state, tables, np.int32(0), np.int32(0))
        self.readout.announce(run, state)
        for indices in sets:
            self.evaluate.announce(run.bare, self.readout.shapes(run, state), state.model_state, tables, indices)

    def give_up(self) -> None:
        """Compiles no more of what was announced and has not begun."""
        for program in self:
            if isinstance(program, Program):
                program.give_up()

    @property
    def compile_seconds(self) -> float:
        """How long all compilations kept the caller so far."""
        return sum(program.compile_seconds for program in self if isinstance(program, Program))


def programs_for(recipe: loop.Recipe, mesh: Mesh, lanes: int) -> Programs:
    """The programs of a recipe; those that do not depend on the optimizer are shared with other recipes.

    Equal recipes get the same programs, so nothing compiles twice however often `train_many` is called.
    """
    return Programs(
        initialise=_program(loop.initialise, recipe.task, mesh, lanes, own=1, once=True),
        # The start, and all of the state, end in the result.
        begin=_program(loop.begin, recipe, mesh, lanes, own=2, donate=(1,), once=True),
        advance=_program(loop.advance, recipe, mesh, lanes, own=2, donate=(1,)),
        readout=_program(loop.readout, recipe, mesh, lanes, own=2),
        evaluate=_program(loop.evaluate, recipe.task, mesh, lanes, own=3),
        measure=_program(loop.measure, recipe.task, mesh, lanes, own=3),
        score=_program(loop.score, recipe.task, mesh, lanes, own=1),
        scores=tuple(name for name, _ in recipe.task.scores),
        ranked=tuple(name for name, score in recipe.task.scores if score.better is not None),
    )


@functools.cache
def _compilers() -> ThreadPoolExecutor:
    # No more than can work: what was announced first is ready first.
    return ThreadPoolExecutor(available_cores(), "compile")


@functools.lru_cache(maxsize=128)
def _program(
    function: Callable[..., Any],
    part: Any,
    mesh: Mesh,
    lanes: int,
    *,
    own: int,
    donate: tuple[int, ...] = (),
    once: bool = False,
) -> Program:
    return Program(function, part, mesh, lanes, own, donate, once)


def forget_programs() -> None:
    """Frees all compiled programs of this process, JAX's own included; what is needed again is compiled, or read, again.

    XLA keeps a program in memory mappings. Linux gives a process 65,530 of them, and a study takes some thousands.
    """
    _program.cache_clear()
    jax.clear_caches()
