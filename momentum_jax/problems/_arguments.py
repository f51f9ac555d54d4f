"""Arguments of the shipped problems, refused before anything is made of them."""

from typing import Any

from momentum_jax._text import quoted


def require_whole(who: str, most: int, *, least: int = 1, **values: Any) -> None:
    """Raises ValueError unless each is a whole number from `least` to `most`, beyond which XLA may end the process."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"{who}: {name} must be a whole number from {least} to {most:,}, got {quoted(value)}.")
