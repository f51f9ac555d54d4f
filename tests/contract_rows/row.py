"""What the contract has to know about a method."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import optax

HALF_LINE, LINE, SHARE = "finite and at least 0", "finite", "in [0, 1]"
POSITIVE, FROM_ONE, POSITIVE_SHARE = "finite and above 0", "finite and at least 1", "in (0, 1]"


@dataclass(frozen=True, eq=False)
class Row:
    """A method with its hyperparameters.

    Attributes:
      id: unique name of the row.
      file: the file of momentum_jax/optimizers that it stands for.
      make: constructor.
      numbers: its real-valued hyperparameters, all of them, with values that serve on every test problem.
      structure: its structural arguments.
      looks_ahead: hyperparameters of which the first update reads step 1 as well.
      no_schedule: hyperparameters that take no schedule.
      allowed: of hyperparameters that are no decays in [0, 1), what their values may be, as messages say it.
      related: hyperparameters whose allowed values depend on those of others.
      needs_params: `update` needs the parameters.
      buffered: takes `accumulator_dtype`.
      other_shapes: shapes in the state that are neither a parameter's nor a scalar's.
      descends: it is an optimizer (a core only transforms).
      parabola, rosenbrock: overrides with which it comes to within 3e-2 of the minimum.
      steps: in how many steps; 10,000 is what Optax's own test allows.
      static: arguments that `optax.inject_hyperparams` must not turn into arrays.
      wraps: it is built around another optimizer, to which its numbers belong.
      extra: extra arguments that `update` cannot do without.
      told: under which names `hyperparameters` tells numbers that it does not tell under their own; None: not as given.
    """

    id: str
    file: str
    make: Callable[..., Any]
    numbers: dict[str, float]
    structure: dict[str, Any] = field(default_factory=dict)
    looks_ahead: tuple[str, ...] = ()
    no_schedule: tuple[str, ...] = ()
    allowed: dict[str, str] = field(default_factory=dict)
    related: tuple[str, ...] = ()
    needs_params: bool = False
    buffered: bool = True
    other_shapes: tuple[tuple[int, ...], ...] = ()
    descends: bool = True
    parabola: dict[str, float] = field(default_factory=dict)
    rosenbrock: dict[str, float] = field(default_factory=dict)
    steps: int = 10_000
    static: tuple[str, ...] = ()
    wraps: bool = False
    extra: dict[str, Any] = field(default_factory=dict)
    told: dict[str, str | None] = field(default_factory=dict)

    def build(self, **overrides: Any) -> Any:
        return self.supplied(self.make)(**{**self.numbers, **self.structure, **overrides})

    def supplied(self, make: Callable[..., Any]) -> Callable[..., Any]:
        """`make`, whose optimizers are given the extra arguments where the caller gives none."""
        if not self.extra:
            return make

        @functools.wraps(make)
        def supplied_make(*args: Any, **kwargs: Any) -> Any:
            inner = make(*args, **kwargs)

            def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
                return inner.update(updates, state, params, **{**self.extra, **extra_args})

            return optax.GradientTransformationExtraArgs(inner.init, update)

        return supplied_make


def core(id: str, file: str, make: Callable[..., Any], numbers: dict[str, float], **more: Any) -> Row:
    return Row(id, file, make, numbers, descends=False, **more)
