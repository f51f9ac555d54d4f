"""A small tuned study in a process of its own, for the tests that kill it."""

from pathlib import Path

from momentum_jax.studies import Arm, Network, Search, Study

STUDY = Study(
    network=Network(hidden=(8,)),
    steps=300,
    batch=16,
    seeds=(0,),
    arms=(Arm("gradient_descent(log_uniform(0.01, 1))"), Arm("heavy_ball(log_uniform(0.001, 0.1), 0.9)")),
    search=Search(trials=2, seeds=(1000,)),
    target=1.0,
    evaluate_every=100,
)


def work(directory: Path, compiled: Path) -> None:
    """Goes on with the study; what was compiled once is not compiled again."""
    import jax

    from momentum_jax.studies.run import run_study

    jax.config.update("jax_compilation_cache_dir", str(compiled))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    run_study(STUDY, directory, resume=True, devices=jax.local_devices()[:1], checkpoint_seconds=0.0)
