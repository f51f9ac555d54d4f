"""The command `momentum-jax`: a thin door to studies, the textbook, data, optimizers and conventions.

What a command needs is imported when it runs, so that `--help` and mistakes are answered at once.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from momentum_jax._text import MOST, cut, quoted

PROGRAM = "momentum-jax"
_DESCRIPTION = "Momentum for JAX: optimizers, and the experiment that shows what momentum does."


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code: 0, 1 (it failed), 2 (asked for wrongly), 130 (Ctrl-C), 143 (SIGTERM)."""
    from momentum_jax.cli.signals import heard_as_ctrl_c

    with heard_as_ctrl_c() as ended:
        return ended.code(_main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments == ["--version"]:
        from momentum_jax import __version__

        print(f"momentum_jax {__version__}")
        return 0
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that knows no "±" gets a question mark, not the end of the program.
            stream.reconfigure(errors="replace")
    try:
        with _damage_reported():
            command = _parse(arguments)
            with _programs_kept(command):
                return _run(command)
    except _Refused as refused:
        return _complain(str(refused), 2)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "momentum_jax":
            raise
        if notes := _notes(error):
            # A file of the user's imports it.
            return _complain(f"{error}.{notes}", 2)
        return _complain(f"needs {error.name}; install it by `pip install 'momentum_jax[experiments]'`.", 2)
    except BrokenPipeError:
        # The reader of a pipe (`| head`) has left: without this the interpreter would complain on its way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _complain(f"{where}{error.strerror or error}.{_notes(error)}", 2)
    except KeyboardInterrupt:
        return _complain("stopped.", 130)


def _notes(error: Exception) -> str:
    """What an error of a user's function carries: which it was, and where."""
    return "".join(f" {_one_line(note)}" for note in getattr(error, "__notes__", ()))


class _Refused(Exception):
    """What was asked for cannot be done; the message says why."""


@contextlib.contextmanager
def _damage_reported():
    """What a store warns of is said in one line, and not by Python."""
    from momentum_jax.studies.errors import StudyWarning

    before = warnings.showwarning

    def show(message, category, filename, lineno, file=None, line=None):
        if issubclass(category, StudyWarning):
            _complain(str(message), 0)
        else:
            before(message, category, filename, lineno, file, line)

    with warnings.catch_warnings():
        warnings.simplefilter("always", StudyWarning)
        warnings.showwarning = show
        yield


def _programs_kept(command: Any) -> contextlib.AbstractContextManager[None]:
    """What keeps a command's compiled programs for the next; of one that compiles none nothing is imported for it."""
    from momentum_jax.cli.arguments import Compiles

    asked = getattr(command, "action", command)
    if not isinstance(asked, Compiles):
        return contextlib.nullcontext()
    from momentum_jax.cli.compilation_cache import programs_kept

    return programs_kept(lambda sentence: _complain(sentence, 0), keep=not asked.no_cache)


def _complain(message: str, code: int) -> int:
    print(f"{PROGRAM}: {message}", file=sys.stderr)
    return code


def _run(command: Any) -> int:
    from momentum_jax.cli import arguments
    from momentum_jax.data import DataError
    from momentum_jax.studies import StudyError

    try:
        match command:
            case arguments.Compare():
                from momentum_jax.cli import compare

                return compare.compare(command)
            case arguments.Train():
                from momentum_jax.cli import compare

                return compare.train(command)
            case arguments.StudyCommand(action=action):
                from momentum_jax.cli import study

                return study.run(action)
            case arguments.AtlasCommand(action=action):
                from momentum_jax.cli import atlas

                return atlas.run(action)
            case arguments.Worker():
                from momentum_jax.cli import workers

                return workers.serve(command)
            case arguments.ProblemCommand():
                from momentum_jax.cli import problem

                return problem.run(command)
            case arguments.Predict():
                from momentum_jax.cli import predict

                return predict.run(command)
            case arguments.Reproduce():
                from momentum_jax.cli import reproduce

                return reproduce.run(command)
            case arguments.Optimizers():
                from momentum_jax.cli import optimizers

                return optimizers.run(command)
            case arguments.Convert():
                from momentum_jax.cli import convert

                return convert.run(command)
            case arguments.Theory():
                from momentum_jax.cli import theory

                return theory.run(command)
            case arguments.Tune():
                from momentum_jax.cli import tune

                return tune.run(command)
            case arguments.Explore():
                from momentum_jax.cli import explore

                return explore.run(command)
            case arguments.Data(action=action):
                from momentum_jax.cli import data

                return data.run(action)
            case arguments.Cache(clear=clear):
                from momentum_jax.cli import compilation_cache

                return compilation_cache.run(clear=clear)
    except (StudyError, DataError, arguments.ArgumentError) as error:
        raise _Refused(_one_line(str(error))) from error
    except (RuntimeError, MemoryError) as error:
        # JAX's own error type; jax.errors would be an import too many for most commands.
        full = ("RESOURCE_EXHAUSTED", "Out of memory", "out of memory")
        if isinstance(error, RuntimeError) and not any(each in str(error) for each in full):
            raise
        raise _Refused("not enough memory; ask for fewer steps, smaller layers or fewer --cores.") from error
    raise AssertionError(f"no such command: {command!r}")


def _parse(arguments: Sequence[str]) -> Any:
    import tyro

    from momentum_jax.cli.arguments import Command

    def parse() -> Any:
        return tyro.cli(
            Command,  # pyright: ignore[reportArgumentType]
            prog=PROGRAM,
            description=f"{_DESCRIPTION} `{PROGRAM} --version` prints the version.",
            args=list(arguments),
            config=(tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes, tyro.conf.FlagCreatePairsOff),
        )

    if not arguments:
        arguments = ["--help"]
    if nul := next((argument for argument in arguments if "\0" in argument), None):
        raise _Refused(f"an argument must not hold NUL characters, got {quoted(nul)}.")
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), _columns(10_000 + sum(map(len, arguments))):
            # Wide enough for a message to stand on one line; help, on stdout, is asked for below at the terminal's width.
            if not {"-h", "--help"} & set(arguments):
                return parse()
    except SystemExit as exit:
        if exit.code:
            raise _Refused(_flatten(said.getvalue(), arguments)) from None
        raise
    return parse()


@contextlib.contextmanager
def _columns(width: int):
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(width)
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


# What colours a text in a terminal.
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def _flatten(box: str, arguments: Sequence[str]) -> str:
    """Tyro's framed message as one line: what is wrong, what would be right, where help is.

    Its frame is of lines where they can be written, else of blanks around a heading and a rule. Long arguments are cut.
    """
    box = _COLOUR.sub("", box)
    for argument in arguments:
        if len(argument) > MOST:
            box = box.replace(argument, cut(argument))
    framed = [line for line in box.splitlines() if line.startswith("│")] or [
        line for line in box.splitlines() if line.startswith("  ") and line.strip()
    ]
    lines = [line.strip("│ ").strip() for line in framed]
    sections: list[list[str]] = [[]]
    for line in lines:
        if set(line) <= {*"─-"}:
            sections.append([])
        else:
            sections[-1].append(line)
    parts = []
    for section in sections:
        text = _one_line(" ".join(section)).replace("For full helptext, run", "See").replace("For full helptext, see", "See")
        text = text.replace("'action.", "'")
        text = text.removeprefix("Argument helptext: ")
        if text:
            parts.append(text if text.endswith((".", "?")) else f"{text}.")
    return " ".join(parts) or _one_line(box)


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()
