"""`momentum-jax data fetch|verify|path`."""

from momentum_jax import data
from momentum_jax.cli.arguments import Fetch, Verify, Where


def run(action: Fetch | Verify | Where) -> int:
    match action:
        case Fetch():
            print(data.fetch(action.dataset, directory=action.directory, force=action.force))
        case Where():
            print(data.path(action.dataset, action.directory))
        case Verify():
            reports = data.verify(action.dataset, action.directory)
            for report in reports:
                print(f"{report.status:9}  {report.detail}")
            return 0 if all(report.ok for report in reports) else 1
    return 0
