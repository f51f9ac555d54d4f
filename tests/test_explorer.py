"""The explorer: its polynomials are the optimizers' own matrices, and its page computes what the library computes."""

import itertools
import json
import re

import browser
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from cli_runs import run

import momentum_jax as mj
from momentum_jax import theory
from momentum_jax.report import explorer
from momentum_jax.theory.polynomials import fitted

NAMES = [method.name for method in explorer.METHODS]
# learning rate, momentum, curvature ratio and share, over all of the sliders
POINTS = [
    {"learning_rate": 4 * 400**-a, "momentum": 0.99 * b, "kappa": 1000**c, "nu": d}
    for a, b, c, d in np.random.default_rng(9).uniform(size=(50, 4))
]
START = np.array([-1.0, 0.7])


@pytest.fixture(scope="module")
def read():
    return explorer.polynomials()


@pytest.fixture(scope="module")
def file(tmp_path_factory, read):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(explorer, "polynomials", lambda: read)
        path = tmp_path_factory.mktemp("page") / "explore.html"
        explorer.write(path)
    return path


def drawn(page):
    """What is out of view would be drawn when the sliders rest."""
    page.run("explorer.draw()")
    return page


@pytest.mark.parametrize("method", explorer.METHODS, ids=NAMES)
def test_the_polynomials_are_what_linearize_reads(method, read):
    for point in POINTS[:3]:
        values = {name: point[name] for name in method.hyperparameters}
        fitted, given = read[method.name].at(**values), theory.linearize(method.constructor(**values), horizon=8)
        for name in ("F", "b", "readout"):
            np.testing.assert_allclose(getattr(fitted, name)[0], getattr(given, name)[0], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(fitted.start, given.start, rtol=1e-12)


def test_the_equations_on_the_page_are_the_docstrings(read):
    assert {name: explorer.equations(read[name]) for name in NAMES} == {
        "Heavy ball": ["θ' = θ + μ v − η g", "v' = μ v − η g"],
        "Nesterov": ["θ' = θ + μ² v − (η + η μ) g", "v' = μ v − η g", "iterate = θ' − μ v'"],
        "Quasi-hyperbolic": ["θ' = θ − η μ ν m − (η − η μ ν) g", "m' = μ m + (1 − μ) g"],
        "Gradient descent": ["θ' = θ − η g"],
    }


def test_only_the_product_of_learning_rate_and_curvature_counts(read):
    # The axis of the stability region.
    for name, polynomials in read.items():
        values = {"learning_rate": 0.3, "momentum": 0.8, "nu": 0.6}
        one, other = (
            polynomials.at(**{key: {**values, "learning_rate": eta}[key] for key in polynomials.hyperparameters})
            for eta in (0.3, 0.9)
        )
        np.testing.assert_allclose(theory.rate(one, [0.6, 3.0, 9.0]), theory.rate(other, [0.2, 1.0, 3.0]), err_msg=name)


def test_the_examples_show_what_they_say(read):
    shown = {preset.name: preset for preset in explorer.presets()}

    def rates(preset, name="Heavy ball"):
        values = {"learning_rate": preset.learning_rate, "momentum": preset.momentum, "nu": preset.nu}
        if name in ("Quasi-hyperbolic", "Gradient descent"):
            values["learning_rate"] /= 1 - preset.momentum
        found = read[name].at(**{key: values[key] for key in read[name].hyperparameters})
        return theory.rate(found, [1.0, 1 / preset.kappa])

    for name in NAMES:
        np.testing.assert_allclose(rates(shown["No momentum"], name), 24 / 26)
    np.testing.assert_allclose(rates(shown["Polyak's best pair"]), 4 / 6, atol=1e-7)
    np.testing.assert_allclose(rates(shown["Critical damping"])[1], 0.8, atol=1e-7)
    less, more = (rates(shown["Critical damping"]._replace(momentum=mu))[1] for mu in (0.62, 0.66))
    assert less > 0.8 + 1e-3
    assert more == pytest.approx(0.66**0.5)
    alone = {name: rates(shown["Heavy ball alone holds"], name).max() < 1 for name in NAMES}
    assert alone == {name: name == "Heavy ball" for name in NAMES}
    assert all(rates(shown["Over the edge"], name)[0] > 1 for name in NAMES)
    assert all(rates(shown[lost], "Gradient descent").max() > 1 for lost in ("Polyak's best pair",))
    assert all(rates(shown[kept], name).max() < 1 for kept in ("Everyday", "Noise averaged") for name in NAMES)


def test_the_command_writes_one_small_file(tmp_path, capfd, monkeypatch, read):
    monkeypatch.setattr(explorer, "polynomials", lambda: read)
    out = tmp_path / "page.html"
    assert run(capfd, "explore", "--out", str(out)) == (0, f"{out}\n", "")
    assert out.stat().st_size < 120_000
    assert "http" not in out.read_text().replace("http-equiv", "")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


@pytest.mark.parametrize(("out", "message"), [(".", "Is a directory."), ("none/page.html", "No such file or directory.")])
def test_a_place_that_cannot_be_written_to_is_refused_in_one_line(out, message, tmp_path, capfd):
    where = tmp_path / out
    assert run(capfd, "explore", "--out", str(where)) == (2, "", f"momentum-jax: {where}: {message}\n")


def matched(method, point):
    """The hyperparameters of a method; heavy ball's effective learning rate is eta / (1 - mu)."""
    given = point | ({"learning_rate": point["learning_rate"] / (1 - point["momentum"])} if method.matched else {})
    return {name: given[name] for name in method.hyperparameters}


def from_theory(method):
    """Of each point what the library says, from one reading of the optimizer that passes through all points."""
    values = [matched(method, point) for point in POINTS]
    schedules = {
        name: lambda step, name=name: jnp.asarray([v[name] for v in values])[jnp.minimum(step // 3, len(values) - 1)]
        for name in method.hyperparameters
    }
    read = theory.linearize(method.constructor(**schedules), horizon=3 * len(values))
    found = []
    for k, point in enumerate(POINTS):
        at = {"step": 3 * k + 1}
        curvatures = [1 / point["kappa"], 1.0]
        found.append(
            {
                "learning_rate": values[k]["learning_rate"],
                "effective": theory.effective_learning_rate(read, **at),
                "limit": theory.stability_limit(read, **at),
                "rates": theory.rate(read, curvatures, **at),
                "variances": theory.steady_state_variance(read, curvatures, **at),
            }
        )
    return found


def from_runs(method):
    """(points, steps + 1, 2) paths and (points, steps) impulse responses, of the optimizers as they run."""
    columns = {name: np.array([matched(method, p)[name] for p in POINTS]) for name in method.hyperparameters}
    curvatures = np.array([[1 / point["kappa"], 1.0] for point in POINTS])

    def one(hyperparameters, curvatures):
        optimizer = method.constructor(**hyperparameters)

        def steps(theta, gradient, count):
            def step(carry, k):
                theta, state = carry
                updates, state = optimizer.update(gradient(theta, k), state, theta)
                theta = optax.apply_updates(theta, updates)
                return (theta, state), (mj.evaluation_params(theta, state), updates)

            return jax.lax.scan(step, (theta, optimizer.init(theta)), jnp.arange(count))[1]

        path = steps(jnp.asarray(START), lambda theta, k: curvatures * theta, explorer.STEPS)[0]
        return path, steps(jnp.zeros(2), lambda theta, k: jnp.ones(2) * (k == 0), explorer.SHARES)[1][:, 0]

    with jax.enable_x64(True):
        path, impulse = jax.jit(jax.vmap(one))(columns, curvatures)
        return np.concatenate([np.broadcast_to(START, (len(POINTS), 1, 2)), path], 1), np.asarray(impulse)


def number(found):
    """Of JSON, in which infinity is null."""
    return np.array([np.inf if v is None else v for v in np.ravel(found)], float)


def test_the_page_computes_what_the_library_computes(page):
    script = f"{json.dumps(POINTS)}.map(point => explorer.measure(point).map(({{ system, ...rest }}) => rest))"
    shown = page.run(script)
    for i, method in enumerate(explorer.METHODS):
        paths, impulses = from_runs(method)
        for k, expected in enumerate(from_theory(method)):
            found = shown[k][i]
            for name, value in expected.items():
                np.testing.assert_allclose(number(found[name]), np.ravel(value), rtol=1e-9, err_msg=f"{method.name} {name} {k}")
            scale = np.maximum.accumulate(np.abs(paths[k]), 0).T
            assert (np.abs(np.array(found["path"]) - paths[k].T) <= 1e-9 * scale).all(), (method.name, k)
            size = np.abs(impulses[k]).max()
            np.testing.assert_allclose(found["impulse"], impulses[k], rtol=1e-9, atol=1e-9 * size)


def test_the_noise_of_heavy_ball_is_the_closed_form(page):
    # (2 - x) / (2 - x (1 - mu) / (1 + mu)), x = effective learning rate times curvature
    eta, mu, kappa = 0.15, 0.9, 20
    (shown,) = page.run(f"[explorer.measure({{learning_rate: {eta}, momentum: {mu}, kappa: {kappa}, nu: 0.7}})[0].ratios]")
    x = eta / (1 - mu) * np.array([1 / kappa, 1])
    np.testing.assert_allclose(shown, (2 - x) / (2 - x * (1 - mu) / (1 + mu)), rtol=1e-12)


def test_the_linear_algebra_is_of_any_size(page):
    # Three memories, one of which the parameter does not see; then roots of degrees 3 and 5 beside NumPy's.
    found = fitted(mj.aggregated_momentum, {"learning_rate": (0, 1)})
    at = found.at(learning_rate=0.2)
    ask = "(s => [algebra.rate(s, 3), algebra.limit(s), algebra.effective(s), algebra.variance(s, 3)])(algebra.at({}))"
    shown = page.run(ask.replace("{}", f"{json.dumps(found.to_dict())}, {{learning_rate: 0.2}}"))
    expected = (
        theory.rate(at, 3),
        theory.stability_limit(at),
        theory.effective_learning_rate(at),
        theory.steady_state_variance(at, 3),
    )
    np.testing.assert_allclose(shown, expected, rtol=1e-8)
    for p in ([1.0, -2.2, 1.9, -0.6], [2.0, 0.3, -1, 4, 0.5, 1]):
        shown = page.run(f"algebra.roots({p})")
        # In one order: by real parts, conjugates by the sign of theirs.
        found, expected = (
            sorted(z, key=lambda z: (round(z.real, 6), z.imag)) for z in ([complex(*z) for z in shown], np.roots(p))
        )
        np.testing.assert_allclose(found, expected, atol=1e-10)


def test_memory_that_nobody_sees_is_no_rate(page):
    # With share 0 the average moves nothing, and what is left is gradient descent.
    given = "{learning_rate: 0.1, momentum: 0.9, kappa: 10, nu: 0}"
    quasi, plain = page.run(f"explorer.measure({given}).slice(2).map(one => [...one.rates, one.limit])")
    np.testing.assert_allclose(quasi, plain, atol=1e-12)


def test_the_page_asks_for_nothing_but_itself_and_its_script_does_not_fail(page, file):
    page.run("new Promise(done => setTimeout(done, 250))")
    for k in range(len(explorer.presets())):
        page.run(f"document.querySelector('[data-preset=\"{k}\"]').click()")
        page.run("new Promise(requestAnimationFrame)")
    asked = [event["params"]["request"]["url"] for event in page.events if event.get("method") == "Network.requestWillBeSent"]
    assert {url for url in asked if not url.startswith("data:")} == {f"file://{file}"}
    failed = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
    assert [event for event in page.events if event.get("method") in failed] == []


@pytest.mark.slow
def test_at_the_ends_of_the_sliders_every_picture_is_drawn_with_numbers(page):
    ends = {knob.key: (knob.low, knob.high) for knob in explorer.KNOBS}
    for values in itertools.product(*ends.values()):
        page.run(f"explorer.set({json.dumps(dict(zip(ends, values, strict=True)))})")
        assert not {"NaN", "undefined", "Infinity"} & set(re.findall(r"\w+", drawn(page).run("document.body.innerText"))), (
            values
        )
        assert page.run("[...document.querySelectorAll('svg.plot')].every(e => !/NaN|undefined/.test(e.outerHTML))"), values


@pytest.mark.parametrize("width", [390, 1200])
def test_nothing_is_wider_than_the_window_and_every_picture_is_drawn(window, file, width):
    window.open(file, width=width)
    window.run("document.querySelectorAll('details').forEach(e => e.open = true)")
    drawn(window)
    assert window.run(browser.WIDE) == []
    assert window.run("document.documentElement.scrollWidth") <= width
    assert window.run("[...document.querySelectorAll('svg.plot')].map(e => e.children.length > 3)") == [True] * 17
    assert "NaN" not in window.run("document.querySelector('main').innerHTML")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_stands_out_from_its_ground(page, theme):
    page.run("document.querySelectorAll('details').forEach(e => e.open = true)")
    page.run("document.querySelector('[data-preset=\"6\"]').click()")
    page.run(f"while (document.documentElement.dataset.theme !== '{theme}') document.querySelector('.theme').click()")
    ground = "rgb(255, 255, 255)" if theme == "light" else "rgb(19, 23, 26)"
    assert page.run("getComputedStyle(document.body).backgroundColor") == ground
    assert drawn(page).run(browser.CONTRAST) == []


def test_the_colours_are_the_systems_until_one_is_chosen(page):
    colour = "getComputedStyle(document.body).backgroundColor"
    page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    assert page.run(colour) == "rgb(19, 23, 26)"
    page.call("Emulation.setEmulatedMedia", features=[])


def test_sliders_are_moved_by_keyboard_and_the_pictures_say_so(page):
    said = "[...document.querySelectorAll('svg.plot')].map(e => e.getAttribute('aria-label'))"
    before = drawn(page).run(said)
    assert all(text.endswith(".") for text in before)
    for _ in range(20):
        page.press("Tab")
        if page.run("document.activeElement.id") == "momentum":
            break
    assert page.run("document.activeElement.labels[0].textContent") == "Momentum μ"
    outline = page.run("(s => [s.outlineStyle, parseFloat(s.outlineWidth)])(getComputedStyle(document.activeElement))")
    assert outline == ["solid", 2]
    page.press("ArrowLeft")
    assert page.run("[explorer.state.momentum, document.activeElement.getAttribute('aria-valuetext')]") == [
        0.89,
        "Momentum 0.89",
    ]
    assert page.run("document.getElementById('momentum-number').value") == "0.89"
    assert page.run("document.querySelectorAll('[data-preset][aria-pressed=true]').length") == 0
    after = drawn(page).run(said)
    # Gradient descent takes all of a gradient in one step, whatever the momentum of the others.
    assert [a != b for a, b in zip(before, after, strict=True)] == [True] * 15 + [False, True]


def test_a_number_is_typed_and_what_is_out_of_range_is_not_taken(page):
    field = "document.getElementById('learning_rate-number')"
    typed = f"((e, v) => {{ e.value = v; e.dispatchEvent(new Event('input')); }})({field}, '%s')"
    page.run(typed % "0.123456")
    assert page.run("explorer.state.learning_rate") == 0.123456
    page.run(typed % "17")
    page.run(typed % "")
    assert page.run("explorer.state.learning_rate") == 0.123456
    assert float(page.run("document.getElementById('learning_rate').value")) == pytest.approx(np.log10(0.123456), abs=0.006)


def test_an_example_is_pressed_and_said(page):
    page.run("document.querySelector('[data-preset=\"7\"]').focus()")
    page.press("Enter", "\r")
    drawn(page)
    assert page.run("document.activeElement.getAttribute('aria-pressed')") == "true"
    assert "beyond heavy ball's limit" in page.run("document.getElementById('lesson').textContent")
    assert page.run("document.getElementById('said').textContent").startswith("All four diverge")
    assert page.run("document.querySelectorAll('#numbers td.bad').length") > 8
