"""Which values of a program are linear in some of its inputs: a walk over its jaxpr, which proves it for every number.

Each value is free of the inputs, linear in them (or linear and an offset that is free of them), or neither. A value that
is neither carries the operation that made it so, for the message.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend import core
from jax.interpreters import partial_eval

_LINEAR_IN_ALL = frozenset(
    {
        "add",
        "add_any",
        "broadcast_in_dim",
        "complex",
        "concatenate",
        "conj",
        "copy",
        "copy_p",
        "cumsum",
        "device_put",
        "expand_dims",
        "imag",
        "neg",
        "optimization_barrier",
        "pad",
        "real",
        "reduce_sum",
        "reshape",
        "rev",
        "sharding_constraint",
        "slice",
        "split",
        "squeeze",
        "stop_gradient",
        "sub",
        "transpose",
    }
)
_PRODUCTS = frozenset({"mul", "dot_general", "conv_general_dilated"})
# Of these operands the values may be linear; the others say where, and must be free.
_PLACED = {"gather": {0}, "dynamic_slice": {0}, "dynamic_update_slice": {0, 1}, "scatter": {0, 2}, "scatter-add": {0, 2}}
_MIXES = frozenset({"reduce_sum", "cumsum", "dot_general", "conv_general_dilated"})
_BODIES = ("jaxpr", "call_jaxpr", "fun_jaxpr")
# They have a body too, and run it more than once, or on references.
_NO_CALLS = frozenset({"reduce", "reduce_window", "pallas_call", "run_state"})


class Label(NamedTuple):
    """What a value is: free of the inputs (0), linear in them (1), neither (2), and then by which operation."""

    rank: int
    culprit: str = ""


FREE, LINEAR = Label(0), Label(1)


class Walk:
    """The labels of a program's results from those of its arguments; `mixes` are operations that sum linear values."""

    def __init__(self, program: Callable[..., Any], *arguments: Any) -> None:
        self.jaxpr, shapes = jax.make_jaxpr(program, return_shape=True)(*arguments)
        self.structure = jax.tree.structure(shapes)
        self.mixes: list[str] = []
        self.calls: list[Any] = []

    def labels(self, *arguments: Any) -> Any:
        """A tree like the program's result, from trees of labels like its arguments."""
        given = jax.tree.leaves(arguments, is_leaf=lambda node: isinstance(node, Label))
        return jax.tree.unflatten(self.structure, self._of(self.jaxpr.jaxpr, given))

    def outline(self, is_read: list[bool]) -> list[Any]:
        """The operations behind those results that are read, and the numbers in them; without shapes."""
        return _outline(partial_eval.dce_jaxpr(self.jaxpr.jaxpr, is_read)[0])

    def _of(self, jaxpr: Any, given: Sequence[Label]) -> list[Label]:
        known: dict[Any, Label] = dict.fromkeys(jaxpr.constvars, FREE) | dict(zip(jaxpr.invars, given, strict=True))

        def label(atom: Any) -> Label:
            return FREE if isinstance(atom, core.Literal) else known[atom]

        for equation in jaxpr.eqns:
            operands = [label(atom) for atom in equation.invars]
            results = [FREE] * len(equation.outvars) if _all_free(operands) else self._after(equation, operands)
            known |= zip(equation.outvars, results, strict=True)
        return [label(atom) for atom in jaxpr.outvars]

    def _after(self, equation: Any, operands: list[Label]) -> list[Label]:
        name, parameters = equation.primitive.name, equation.params
        if name == "cond" and operands[0] == FREE:
            return _worst(*(self._of(_opened(branch), operands[1:]) for branch in parameters["branches"]))
        if name == "scan":
            return self._repeated(_opened(parameters["jaxpr"]), operands, *_constants_and_carried(parameters))
        if name == "while":
            before, constants = parameters["cond_nconsts"], parameters["body_nconsts"]
            carried = self._repeated(_opened(parameters["body_jaxpr"]), operands[before:], constants, len(equation.outvars))
            if _all_free(self._of(_opened(parameters["cond_jaxpr"]), [*operands[:before], *carried])):
                return carried
        elif name not in _NO_CALLS and (body := next((parameters[key] for key in _BODIES if key in parameters), None)):
            self.calls.append(equation)
            results = self._of(_opened(body), operands)
            self.calls.pop()
            return results
        count = len(equation.outvars)
        if worst := next((operand for operand in operands if operand.rank == 2), None):
            return [worst] * count
        if _is_test_of_finiteness(equation):
            return [FREE] * count
        if _is_linear(equation, operands):
            if name in _MIXES:
                self.mixes.append(_described(equation, self.calls))
            return [LINEAR] * count
        return [Label(2, _described(equation, self.calls))] * count

    def _repeated(self, body: Any, operands: list[Label], constants: int, carried: int) -> list[Label]:
        """The results of a loop: what is carried can only lose its label, until nothing changes."""
        while True:
            results = self._of(body, operands)
            carry = _worst(operands[constants : constants + carried], results[:carried])
            if carry == operands[constants : constants + carried]:
                return carry + results[carried:]
            operands = [*operands[:constants], *carry, *operands[constants + carried :]]


def _opened(body: Any) -> Any:
    """A jaxpr without its constants; JAX 0.12 keeps some so."""
    return getattr(body, "jaxpr", body)


def _constants_and_carried(scan: dict[str, Any]) -> tuple[int, int]:
    if "num_consts" in scan:
        return scan["num_consts"], scan["num_carry"]
    # JAX 0.12 keeps trees in their place.
    constants, carried, _ = scan["ft_in"].unpack()
    return len(constants), len(carried)


def widened(before: Sequence[Label], after: Sequence[Label]) -> list[Label]:
    """Of two labels of each value the one that says less."""
    return _worst(before, after)


def _outline(jaxpr: Any) -> list[Any]:
    lines = []
    for equation in jaxpr.eqns:
        numbers = [str(atom.val) for atom in equation.invars if isinstance(atom, core.Literal)]
        lines.append((equation.primitive.name, numbers, [_outline(body) for body in core.jaxprs_in_params(equation.params)]))
    return lines


def _all_free(labels: Sequence[Label]) -> bool:
    return all(label.rank == 0 for label in labels)


def _worst(*several: Sequence[Label]) -> list[Label]:
    return [max(each, key=lambda label: label.rank) for each in zip(*several, strict=True)]


def _is_test_of_finiteness(equation: Any) -> bool:
    # `x != x` is how JAX asks for a NaN. A rule for finite gradients is what is read here.
    first, *others = equation.invars
    return equation.primitive.name == "is_finite" or (equation.primitive.name == "ne" and others == [first])


def _is_linear(equation: Any, operands: list[Label]) -> bool:
    name, parameters = equation.primitive.name, equation.params
    ranks = [operand.rank for operand in operands]
    if name == "convert_element_type":
        dtype = parameters["new_dtype"]
        return jnp.issubdtype(dtype, jnp.inexact) and jnp.finfo(dtype).bits >= 32
    if name == "reduce_precision":
        return parameters["exponent_bits"] >= 8 and parameters["mantissa_bits"] >= 23
    if name in _LINEAR_IN_ALL:
        return True
    if name in _PRODUCTS:
        return sum(ranks) == 1
    if name == "div":
        return ranks == [1, 0]
    if name == "integer_pow":
        return parameters["y"] == 1
    if name == "select_n":
        return ranks[0] == 0
    return name in _PLACED and all(rank == 0 for place, rank in enumerate(ranks) if place not in _PLACED[name])


def _described(equation: Any, calls: Sequence[Any]) -> str:
    """`square` at optax/tree_utils/_tree_math.py:275 (clip_by_global_norm); in a function of JAX where that is called."""
    frames = next(filter(None, map(_frames, [equation, *reversed(calls)])), [])
    said = f"`{equation.primitive.name}`"
    if frames:
        file = re.split(r"site-packages[/\\]", frames[0].file_name)[-1]
        if (place := file.rfind("momentum_jax/optimizers")) >= 0:
            file = file[place:]
        said += f" at {file}:{frames[0].line_num}"
    for frame in frames:
        if found := re.match(r"(\w+)\.<locals>\.(update|update_fn|unrounded|leaf)\b", frame.function_name):
            return f"{said} ({found[1]})"
    return said


def _frames(equation: Any) -> list[Any]:
    traceback = equation.source_info.traceback
    return [frame for frame in (traceback.frames if traceback else ()) if not _is_plumbing(frame.file_name)]


def _is_plumbing(file: str) -> bool:
    return bool(re.search(r"[/\\]jax[/\\]|momentum_jax[/\\](theory[/\\]|_|optimizers[/\\]_)|contextlib|functools", file))
