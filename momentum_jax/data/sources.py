"""What the data sets are, where they are found, and whether they are the published ones.

Sources: MNIST, Y. LeCun, C. Cortes, C. J. C. Burges (1998), CC BY-SA 3.0; Fashion-MNIST, H. Xiao, K. Rasul, R. Vollgraf
(2017), arXiv:1708.07747, Zalando SE, MIT; digits, E. Alpaydin, C. Kaynak (1998), UCI Machine Learning Repository,
"Optical Recognition of Handwritten Digits", CC BY 4.0, of which scikit-learn carries the 1,797 test images.
"""

import hashlib
import importlib.util
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

from momentum_jax._files import open_regular
from momentum_jax._text import quoted
from momentum_jax.data import idx
from momentum_jax.data.errors import DataError, required_by

VARIABLE = "MOMENTUM_JAX_DATA"
TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"
SHAPES: dict[str, tuple[int | None, ...]] = {
    TRAIN_IMAGES: (None, 28, 28),
    TRAIN_LABELS: (None,),
    TEST_IMAGES: (None, 28, 28),
    TEST_LABELS: (None,),
}

NAMES: Mapping[str, str] = MappingProxyType(
    {
        "digits": "1,797 handwritten digits, 8 x 8, bundled with scikit-learn: no download",
        "mnist": "70,000 handwritten digits, 28 x 28; the last 10,000 are the test set",
        "fashion_mnist": "70,000 pictures of clothes, 28 x 28; the last 10,000 are the test set",
    }
)


@dataclass(frozen=True)
class Source:
    """A published data set of four IDX files: the SHA-256 of each, and the places to have them from, in order."""

    classes: tuple[str, ...]
    sums: Mapping[str, str]
    mirrors: tuple[str, ...]


SOURCES: dict[str, Source] = {
    "mnist": Source(
        classes=tuple("0123456789"),
        sums={
            TRAIN_IMAGES: "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            TRAIN_LABELS: "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            TEST_IMAGES: "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            TEST_LABELS: "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        },
        mirrors=(
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
        ),
    ),
    "fashion_mnist": Source(
        classes=(
            *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
            *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        ),
        sums={
            TRAIN_IMAGES: "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            TRAIN_LABELS: "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            TEST_IMAGES: "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            TEST_LABELS: "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        },
        # The first, the authors' own, speaks plain HTTP; the sums above are what makes that harmless.
        mirrors=(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
    ),
}


class Place(NamedTuple):
    """Where the files of a data set are: a folder of the user's, or one of the cache, which this library keeps."""

    folder: Path
    is_cache: bool


def check_name(caller: str, name: str) -> None:
    if not isinstance(name, str):
        raise TypeError(f"{caller}: name must be a string, got {quoted(name)}.")
    if name not in NAMES:
        raise DataError(f"{caller}: name must be one of {', '.join(NAMES)}, got {quoted(name)}.")


def locate(caller: str, name: str, directory: str | os.PathLike[str] | None) -> Place:
    """The first of: the directory given, that of the environment variable, the cache. It need not exist."""
    if directory is not None and not isinstance(directory, str | os.PathLike):
        raise TypeError(f"{caller}: directory must be a path or None, got {quoted(directory)}.")
    if directory is not None and (not os.fspath(directory) or "\0" in os.fspath(directory)):
        raise DataError(f"{caller}: directory must be a path or None, got {quoted(directory)}.")
    given = os.environ.get(VARIABLE) if directory is None else directory
    if given:
        return Place(Path(os.path.expanduser(given)) / name, is_cache=False)
    with required_by(caller, f"the cache (neither a directory nor {VARIABLE} is given)"):
        import pooch
    return Place(Path(pooch.os_cache("momentum_jax")) / name, is_cache=True)


def path(name: str, directory: str | os.PathLike[str] | None = None) -> Path:
    """Where `load` would read a data set from: the folder of its four files, or scikit-learn's file of digits.

    Args:
        name: one of NAMES.
        directory: as in `load`: the files are in `<directory>/<name>`.

    Returns:
        The path. It need not exist.

    Raises:
        DataError: the name is unknown, or a package is missing without which the place is not known.
    """
    check_name("path", name)
    return _bundled("path") if name == "digits" else locate("path", name, directory).folder


def _bundled(caller: str) -> Path:
    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        with required_by(caller, "the data set 'digits'"):
            raise ModuleNotFoundError(name="scikit-learn")
    return Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"


def fetch_command(name: str, place: Place, *, force: bool = False) -> str:
    """The command that puts the published files in this place, for error messages."""
    where = "" if place.is_cache else f" --directory {shlex.quote(str(place.folder.parent))}"
    return f"`momentum-jax data fetch {name}{where}{' --force' if force else ''}`"


class FileReport(NamedTuple):
    """What `verify` found of one file.

    `status` is "published" (the SHA-256 is that of the published file), "missing", "different" (a sound file of the
    right format, but another one: `load` reads it) or "damaged" (`load` refuses it); `detail` says it in a sentence.
    `sha256` is that of the file, None where it could not be read; `expected` that of the published file.
    """

    path: Path
    status: Literal["published", "missing", "different", "damaged"]
    detail: str
    sha256: str | None
    expected: str

    @property
    def ok(self) -> bool:
        return self.status == "published"


def verify(name: str, directory: str | os.PathLike[str] | None = None) -> tuple[FileReport, ...]:
    """Compares the files of a data set with the published ones. Nothing is changed, nothing downloaded.

    Args:
        name: one of NAMES.
        directory: as in `load`.

    Returns:
        A report for each file: four, or the one of digits, which travels with scikit-learn.

    Raises:
        DataError: the name is unknown, or a package is missing. A bad file is not an error here but a report.
    """
    check_name("verify", name)
    if name == "digits":
        return (_compare(_bundled("verify"), DIGITS_SUM, None),)
    folder = locate("verify", name, directory).folder
    return tuple(_compare(folder / file, expected, SHAPES[file]) for file, expected in SOURCES[name].sums.items())


# Of digits.csv.gz, the same bytes in scikit-learn 1.6.0 and 1.9.1.
DIGITS_SUM = "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22"


def _compare(file: Path, expected: str, shape: tuple[int | None, ...] | None) -> FileReport:
    try:
        found = sha256(file)
    except FileNotFoundError:
        return FileReport(file, "missing", f"{file} does not exist.", None, expected)
    except OSError as error:
        return FileReport(file, "damaged", f"{file} cannot be read: {error.strerror or error}.", None, expected)
    if found == expected:
        return FileReport(file, "published", f"{file} is the published file.", found, expected)
    try:
        dimensions = "" if shape is None else f" of {' x '.join(map(str, idx.read(file, shape).shape))}"
    except DataError as error:
        return FileReport(file, "damaged", str(error), found, expected)
    detail = f"{file} is not the published file: its SHA-256 is {found}. It is a sound file{dimensions}."
    return FileReport(file, "different", detail, found, expected)


def sha256(file: Path) -> str:
    with open_regular(file) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
