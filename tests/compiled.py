"""Compiled with XLA's optimizations, which tests else do without: see conftest.py."""

import os
from collections.abc import Callable
from typing import Any

import jax

USERS = {
    "xla_backend_optimization_level": 3,
    "xla_llvm_disable_expensive_passes": False,
    "xla_cpu_use_fusion_emitters": True,
    "xla_cpu_parallel_codegen_split_count": 32,
}


def as_users(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    return jax.jit(function, compiler_options=USERS if os.environ.get("XLA_FLAGS") else None, **options)
