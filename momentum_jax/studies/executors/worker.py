"""The worker's side: from an order to the rows and curves of its jobs. Whoever calls `work` loads JAX no sooner than there."""

from __future__ import annotations

import functools
import json
import platform
import threading
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from momentum_jax.studies.bench import Bench
    from momentum_jax.studies.executors.message import Answer, Order

# A chunk is trained on all devices of its process.
_ONE_AT_A_TIME = threading.Lock()


def work(order: str) -> tuple[str, bytes]:
    """Trains the jobs of an order. What goes wrong there is in the answer: a call that fails means that a worker was lost.

    Args:
      order: the text of an `Order`.

    Returns:
      What `Answer.pack` makes of the answer.
    """
    from momentum_jax.studies.executors.message import Answer, Order

    host = platform.node() or "without a name"
    with _ONE_AT_A_TIME:
        try:
            return _worked(Order.of(order), host).pack()
        except Exception as error:
            ours = _is_ours(error)
            said = str(error) if ours else f"{type(error).__name__}: {error}"
            where = () if ours else (f"On the worker:\n{traceback.format_exc()}",)
            return Answer(host, refused=f"worker {host}: {said}", notes=(*getattr(error, "__notes__", ()), *where)).pack()


def _worked(order: Order, host: str) -> Answer:
    from momentum_jax.studies import jobs
    from momentum_jax.studies.bench import rows_of, seconds_of
    from momentum_jax.studies.executors.canary import canary
    from momentum_jax.studies.executors.message import Answer

    there = _prepared(json.dumps([order.study, order.files, order.data_directory, order.log_hyperparameters]))
    if differ := _differences(there.environment, order.environment):
        raise _Refusal(f"{differ}.")
    own = canary(there.bench.devices[0])
    if own != order.canary and not order.any_bits:
        raise _Refusal(
            "its arithmetic differs in the last bits, as the same small run shows; "
            "let it work by --any-bits (any_bits=True), which the manifest then says."
        )
    asked = order.read_jobs()
    keys = dict(zip((job.name for job in asked), jobs.keys(there.bench.study, there.environment, asked), strict=True))
    answer = Answer(host, own, seconds={})

    def keep(wave: Any) -> None:
        nonlocal answer
        spent = {name: (answer.seconds or {}).get(name, 0.0) + each for name, each in seconds_of(wave).items()}
        answer = replace(answer, rows=(*answer.rows, *rows_of(wave, asked, keys)), seconds=spent)

    there.bench.train(asked, keep)
    return answer


class _Refusal(Exception):
    """Why this worker trains nothing."""


@dataclass(frozen=True)
class _Prepared:
    bench: Bench
    environment: dict[str, Any]


@functools.lru_cache(maxsize=2)
def _prepared(content: str) -> _Prepared:
    """The study as it is here, once for all of its chunks: data loaded, files imported, digests computed."""
    import jax

    from momentum_jax.studies.bench import Bench
    from momentum_jax.studies.environment import environment_of
    from momentum_jax.studies.executors import sent_files
    from momentum_jax.studies.material import Variants, material
    from momentum_jax.studies.study import Study

    study_content, files, data_directory, log_hyperparameters = json.loads(content)
    paths = sent_files.put(files)
    images = {"dataset": paths.pop(sent_files.IMAGES)} if sent_files.IMAGES in paths else {}
    study = Study.from_dict({**study_content, **images}, paths=paths)
    # Elsewhere, data lie where this machine has them.
    directory = data_directory if data_directory and Path(data_directory).is_dir() else None
    variants = Variants(study, material(study, data_directory=directory), directory)
    devices = jax.local_devices()
    # As JSON has it.
    environment = json.loads(json.dumps(environment_of(study, variants, devices)))
    return _Prepared(Bench(study, variants, devices, log_hyperparameters), environment)


def _differences(there: dict[str, Any], here: dict[str, Any]) -> str:
    """How two environments differ, in words; empty where they do not."""
    from momentum_jax._text import joined
    from momentum_jax.studies.store.manifest import differences

    said = []
    for key, one, other in differences(there, here):
        kind, _, name = key.partition(".")
        if kind == "versions" or kind == "backend":
            said.append(f"{name} is {_named(one)} there and {_named(other)} here")
        else:
            what = {
                "data": "its data are",
                "problem": f"the problem's {name} is",
                "arms": f"the optimizer of arm {name} is",
            }
            said.append(f"{what[kind]} not the same there and here")
    return joined(said[:5])


def _is_ours(error: Exception) -> bool:
    """Whether it says in one sentence what is wrong, as the library's own do."""
    from momentum_jax.data import DataError
    from momentum_jax.studies.errors import StudyError

    return isinstance(error, _Refusal | StudyError | DataError)


def _named(value: Any) -> str:
    return "missing" if value is None else str(value)
