"""Problems that come with the library: one file each, real, offline, and an example to copy.

A name loads its file when it is asked for. Importing this package loads neither Flax nor
scikit-learn.
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from momentum_jax.problems.breast_cancer import breast_cancer as breast_cancer
    from momentum_jax.problems.characters import characters as characters
    from momentum_jax.problems.diabetes import diabetes as diabetes
    from momentum_jax.problems.factorisation import factorisation as factorisation
    from momentum_jax.problems.heat_equation import heat_equation as heat_equation
    from momentum_jax.problems.linear_regression import linear_regression as linear_regression
    from momentum_jax.problems.narrow_net import narrow_net as narrow_net
    from momentum_jax.problems.photographs import photographs as photographs

__all__ = [
    "breast_cancer",
    "characters",
    "diabetes",
    "factorisation",
    "heat_equation",
    "linear_regression",
    "narrow_net",
    "photographs",
]


class _Problems(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        importlib.import_module(f"{self.__name__}.{name}")
        return self.__dict__[name]

    def __setattr__(self, name: str, value: Any) -> None:
        # Python binds a file's name to its module when it is first imported; here the name is the function in it.
        super().__setattr__(name, getattr(value, name) if name in __all__ and isinstance(value, ModuleType) else value)


sys.modules[__name__].__class__ = _Problems


def __dir__() -> list[str]:
    return sorted(__all__)
