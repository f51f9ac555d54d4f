"""momentum_jax: every momentum method as an Optax gradient transformation, the experiment, and the theory."""

__version__ = "0.1.0"
