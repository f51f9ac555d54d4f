"""Looks at the data that were declared before the first run, and seeds that were added without."""

import jax
import pytest

from momentum_jax.studies import Arm, Network, Study, StudyError
from momentum_jax.studies.analysis import analyse
from momentum_jax.studies.run import add_seeds, run_study
from momentum_jax.studies.store import Store

DEVICES = jax.local_devices()[:1]
ARMS = (Arm("gradient_descent(0.001)"), Arm("gradient_descent(0.2)"))
SMALL = {"network": Network((16,)), "examples": 200, "steps": 60, "evaluate_every": 60, "ladder": False, "noise_floor": False}


def study(**fields):
    return Study(arms=ARMS, **{**SMALL, **fields})


@pytest.fixture(scope="module")
def declared(tmp_path_factory):
    """A study that was told at its second look, though three were declared: which seeds it had at each."""
    directory = tmp_path_factory.mktemp("looks") / "study"
    run_study(study(looks=(5, 8, 10), seeds=tuple(range(5))), directory, devices=DEVICES)
    with pytest.raises(StudyError, match=r"looks were declared at 5, 8, 10 seeds; the next one is 3 seeds away, got 1"):
        add_seeds(directory, 1, devices=DEVICES)
    with pytest.raises(StudyError, match="count and until_told exclude each other"):
        add_seeds(directory, 3, until_told=True, devices=DEVICES)
    add_seeds(directory, until_told=True, devices=DEVICES)
    return directory


def test_a_study_goes_from_look_to_look_until_it_is_told(declared):
    store = Store.read(declared)
    claim = analyse(store).claim("question")
    assert store.study.seeds == tuple(range(8))
    assert claim.evidence.claimed
    # All looks share the level.
    assert claim.evidence.level == pytest.approx(0.0221)
    assert store.manifest["additions"] == [[5, 6, 7]]
    runs = len(store.runs)
    assert len(add_seeds(declared, until_told=True, devices=DEVICES).runs) == runs


def test_the_same_study_is_gone_on_with_and_its_last_look_is_the_last(declared):
    store = run_study(study(looks=(5, 8, 10), seeds=tuple(range(5))), declared, resume=True, devices=DEVICES)
    assert store.study.seeds == tuple(range(8))
    add_seeds(declared, devices=DEVICES)
    with pytest.raises(StudyError, match="has had its last declared look, at 10 seeds"):
        add_seeds(declared, devices=DEVICES)
    with pytest.raises(StudyError, match=r"study.looks is .* there and .* now"):
        run_study(study(seeds=tuple(range(10))), declared, resume=True, devices=DEVICES)


def test_without_looks_seeds_are_counted_and_speak_for_themselves(tmp_path):
    run_study(study(seeds=(0, 1)), tmp_path / "study", devices=DEVICES)
    with pytest.raises(StudyError, match="until_told needs looks that were declared"):
        add_seeds(tmp_path / "study", until_told=True)
    with pytest.raises(StudyError, match="say how many seeds to add"):
        add_seeds(tmp_path / "study")
    store = add_seeds(tmp_path / "study", 2, devices=DEVICES)
    assert analyse(store).claim("question").seeds == (2, 3)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"looks": (8,)}, "looks must be two to 5 numbers of seeds, got"),
        ({"looks": (8, 4)}, "looks must be increasing numbers of seeds"),
        ({"looks": (8, 16), "seeds": (0, 1)}, "seeds must be as many as one of looks .8, 16., got 2 seeds"),
        ({"measure": "step"}, "measure must be one of score, steps"),
        ({"measure": "steps"}, "there is no target that steps could reach"),
        ({"matters": 0.0}, "matters must be a positive, finite number, got 0.0"),
        ({"question": ("a", "b")}, "question must be the labels of two arms among 'gradient_descent.0.001.'"),
        ({"question": (ARMS[0].label,) * 2}, "question must be the labels of two arms"),
        ({"title": "two\nlines"}, "title must be one line of printable text"),
    ],
)
def test_what_cannot_be_declared_is_refused(fields, said):
    with pytest.raises(StudyError, match=said):
        study(**fields)


def test_what_was_declared_is_in_toml_and_json_and_in_no_key():
    plain = study()
    said = {"question": [arm.label for arm in reversed(ARMS)], "matters": 0.5, "looks": [8, 16], "title": "Which?"}
    declared = Study.from_dict({**plain.to_dict(), **said, "seeds": 8})
    assert {name: declared.to_dict()[name] for name in said} == said
    assert Study.from_dict(declared.to_dict()) == declared
    assert not {"question", "measure", "matters", "looks", "title"} & plain.to_dict().keys()
    assert len(Study.from_dict({**plain.to_dict(), "looks": [8, 16], "seeds": 8}).seeds) == 8
    content = {name: value for name, value in plain.to_dict().items() if name != "seeds"}
    assert Study.from_dict({**content, "looks": [8, 16]}).seeds == tuple(range(8))
