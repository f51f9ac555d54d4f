"""The page in a browser: it asks nobody for anything, fits a phone, and all that it does can be done by keyboard."""

import json

import browser
import pytest
from made_studies import made

from momentum_jax.report import content, html
from momentum_jax.studies import Arm, Search, Study
from momentum_jax.studies.scores import RankedScore, Scores

LONG = "an arm with a label of its own that is longer than anybody would want it to be"
STUDY = Study(
    steps=200,
    seeds=tuple(range(10)),
    target=0.3,
    evaluate_every=20,
    arms=(
        Arm("gradient_descent(log_uniform(0.001, 1))"),
        Arm("heavy_ball(log_uniform(0.001, 1), one_minus_log_uniform(0.5, 0.99))"),
        Arm("adam(0.001)", LONG),
        Arm("rmsprop(0.001)", "y" * 90),
    ),
    search=Search(trials=8),
)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    directory = tmp_path_factory.mktemp("browser")
    store = made(directory / "store", STUDY, diverged=lambda job: job.name == "arm-2/seed-3")
    path = directory / "report.html"
    path.write_text(html(content(store)))
    return path


def test_the_page_asks_for_nothing_but_itself_and_its_script_does_not_fail(page, file):
    page.run("new Promise(done => setTimeout(done, 100))")
    asked = [event["params"]["request"]["url"] for event in page.events if event.get("method") == "Network.requestWillBeSent"]
    assert {url for url in asked if not url.startswith("data:")} == {f"file://{file}"}
    failed = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
    assert [event for event in page.events if event.get("method") in failed] == []
    assert page.run("document.querySelector('.chip').disabled") is False


@pytest.mark.parametrize("width", [390, 1200])
def test_nothing_is_wider_than_the_window(window, file, width):
    window.open(file, width=width)
    window.run("document.querySelectorAll('details').forEach(e => e.open = true)")
    assert window.run(browser.WIDE) == []
    assert window.run("document.documentElement.scrollWidth") <= width


def test_a_scores_name_is_no_style(window, tmp_path):
    name = 'a\'; } body { display: none } "q" 日 <style> 7'
    study = Study(problem="mine.py:make()", steps=20, seeds=tuple(range(6)), arms=(Arm("sgd(0.1)"), Arm("sgd(0.1, 0.9)")))
    path = tmp_path / "report.html"
    path.write_text(html(content(made(tmp_path / "store", study, scores=Scores((RankedScore(name, "lower"),))))))
    window.open(path, width=390)
    cells = "[...document.querySelectorAll('#evidence > .scroll td')]"
    written = window.run(f"{cells}.map(e => getComputedStyle(e, '::before').content)")
    assert json.dumps(f"test {name}", ensure_ascii=False) in written


@pytest.mark.parametrize("width", [390, 1200])
def test_no_number_beside_a_figure_is_cut_off(window, tmp_path, width):
    scores = Scores((RankedScore("excess", "lower"),))
    study = Study(problem="mine.py:make()", steps=20, seeds=tuple(range(6)), arms=(Arm("sgd(0.1)"), Arm("sgd(0.1, 0.9)")))
    found = content(made(tmp_path / "store", study, scores=scores))
    arms = next(section for section in found.sections if section.key == "arms")
    path = tmp_path / "report.html"
    note = arms.blocks[1].rows[0].note
    path.write_text(html(found).replace(note, "± 0.0000028 (standard error)"))
    window.open(path, width=width)
    assert "± 0.0000028" in window.run("document.body.textContent")
    cut = """[...document.querySelectorAll('.val, .val small')].filter(e => e.scrollWidth > e.clientWidth + 1 ||
        e.getBoundingClientRect().right > e.closest('section').getBoundingClientRect().right + 0.5).map(e => e.textContent)"""
    assert window.run(cut) == []


@pytest.mark.slow
def test_a_million_steps_fit_a_phone_with_all_their_ticks(window, tmp_path):
    arms = (Arm("gradient_descent(0.01)"), Arm("heavy_ball(0.01, 0.9)"))
    study = Study(steps=1_000_000, seeds=tuple(range(6)), evaluate_every=10_000, target=0.0135, arms=arms, noise_floor=False)
    path = tmp_path / "report.html"
    path.write_text(html(content(made(tmp_path / "store", study))))
    assert path.stat().st_size <= 100_000
    window.open(path, width=390)
    cut = """[...document.querySelectorAll('.xt, .axt span')].map(e => [e.textContent, e.getBoundingClientRect().right,
        e.closest('section, header').getBoundingClientRect().right]).filter(([, end, edge]) => end > edge)"""
    assert window.run(cut) == []
    texts = window.run("[...document.querySelectorAll('.xt, #cost .axt span')].map(e => e.textContent)")
    assert texts.count("1,000,000") == 2
    assert "500,000" in texts


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_stands_out_from_its_ground(page, theme):
    page.run("document.querySelectorAll('details').forEach(e => e.open = true)")
    page.run(f"while (document.documentElement.dataset.theme !== '{theme}') document.querySelector('.theme').click()")
    ground = "rgb(255, 255, 255)" if theme == "light" else "rgb(19, 23, 26)"
    assert page.run("getComputedStyle(document.body).backgroundColor") == ground
    assert page.run(browser.CONTRAST) == []


@pytest.mark.parametrize("width", [390, 1200])
def test_stacked_cells_have_their_headings_on_a_phone_alone(window, file, width):
    window.open(file, width=width)
    cells = "[...document.querySelectorAll('#evidence > .scroll:first-of-type tbody tr:first-child td')]"
    written = window.run(f"{cells}.map(e => getComputedStyle(e, '::before').content)")
    headings = ["difference", "interval", "p", "adjusted p", "seeds that differ", "can be found", "claimed"]
    assert written == [f'"{heading}"' if width == 390 else "none" for heading in headings]


def test_the_colours_are_changed_by_keyboard(page):
    ground = "getComputedStyle(document.body).backgroundColor"
    page.run("document.querySelector('.theme').focus()")
    seen = []
    for _ in range(3):
        page.press("Enter", "\r")
        label = page.run("document.activeElement.getAttribute('aria-label')")
        seen.append((label, page.run(ground)))
    assert seen[0] == ("colours: light", "rgb(255, 255, 255)")
    assert seen[1] == ("colours: dark", "rgb(19, 23, 26)")
    assert seen[2][0] == "colours: auto"


def test_a_ring_says_its_seed_and_its_value(page):
    """Each ring of a row in its order, whatever its arm is called."""
    told = """[...document.querySelectorAll('#arms .ax')].map(row => [...row.querySelectorAll('.d')].map(e => {
        e.dispatchEvent(new PointerEvent('pointerover', { bubbles: true }));
        return document.getElementById('tip').textContent;
    }))"""
    words = page.run("[...document.querySelectorAll('#arms .ax')].map(row => row.getAttribute('aria-label'))")
    rows = page.run(told)
    assert len(rows) == len(words) >= 4
    for row, said in zip(rows, words, strict=True):
        assert [text.partition(":")[0] for text in row] == [f"seed {seed}" for seed in range(10)]
        assert said.endswith(f": {'; '.join(row)}.")


def test_an_arm_is_hidden_and_shown_in_all_figures_at_once(page):
    def shown(arm):
        return page.run(f"[...document.querySelectorAll('.s{arm}')].filter(e => e.getClientRects().length).length")

    before = shown(1), shown(0)
    assert min(before) > 4
    page.run("document.querySelector('.chip[data-arm=\"1\"]').focus()")
    page.press("Enter", "\r")
    assert (shown(1), shown(0)) == (0, before[1])
    pressed = "[...document.querySelectorAll('.chip[data-arm=\"1\"]')].map(e => e.getAttribute('aria-pressed'))"
    assert page.run(pressed) == ["false", "false"]
    page.press("Enter", "\r")
    assert (shown(1), shown(0)) == before


def test_curves_are_read_and_zoomed_by_keyboard(page):
    box = "document.querySelector('[data-chart] svg').getAttribute('viewBox')"
    texts = "[...document.querySelectorAll('[data-chart] .xt')].map(e => e.textContent)"
    page.run("document.querySelector('[data-chart]').focus()")
    whole = page.run(box), page.run(texts)
    page.press("ArrowRight")
    assert page.run("document.querySelector('[data-chart] [aria-live]').textContent").startswith("step 0: ")
    page.press("ArrowRight")
    assert "step 20" in page.run("document.getElementById('tip').textContent")
    page.press("+", "+")
    assert page.run(box) != whole[0]
    assert page.run(texts) != whole[1]
    page.press("0", "0")
    assert (page.run(box), page.run(texts)) == whole


def test_a_drag_zooms_and_a_button_goes_back(page):
    where = "(r => [r.left, r.top, r.width, r.height])(document.querySelector('[data-chart] .pa').getBoundingClientRect())"
    page.run("document.querySelector('[data-chart]').scrollIntoView({ block: 'center', behavior: 'instant' })")
    left, top, width, height = page.run(where)
    for kind, share in (("mousePressed", 0.2), ("mouseMoved", 0.6), ("mouseReleased", 0.6)):
        place = {"x": left + share * width, "y": top + height / 2}
        page.call("Input.dispatchMouseEvent", type=kind, button="left", buttons=1, clickCount=1, **place)
    box = "document.querySelector('[data-chart] svg').getAttribute('viewBox').split(' ').map(Number)"
    begins, _, wide, _ = page.run(box)
    assert (begins, wide) == pytest.approx((200, 400), abs=10)
    page.run("document.querySelector('[data-chart] .reset').click()")
    assert page.run(box) == pytest.approx([0, 0, 1000, 1000])


def test_words_and_sources_are_told_on_focus_and_a_source_leads_to_its_runs(page):
    tip = "document.getElementById('tip').hidden ? '' : document.getElementById('tip').textContent"
    told = {}
    for _ in range(60):
        page.press("Tab")
        kind = page.run("document.activeElement.className")
        told.setdefault(kind, page.run(tip))
        if {"v", "w"} <= {*told}:
            break
    assert "the number that fixes" in told["w"]
    assert "unrounded" in told["v"]
    assert "runs: arm-1/seed-" in told["v"]
    assert page.run("document.getElementById('runs').open") is False
    page.run("document.querySelector('a.v').focus()")
    page.press("Enter", "\r")
    assert page.run("document.getElementById('runs').open") is True


def test_a_label_is_no_markup_in_the_tip(window, tmp_path):
    arms = (Arm("adam(0.001)", "<img src=x onerror=alert(1)>"), Arm("sgd(0.1)"))
    store = made(tmp_path / "store", Study(steps=100, seeds=(0, 1, 2), arms=arms))
    path = tmp_path / "report.html"
    path.write_text(html(content(store)))
    window.open(path)
    window.run("document.querySelector('[data-chart]').focus()")
    window.press("ArrowRight")
    assert "<img src=x" in window.run("document.getElementById('tip').textContent")
    assert window.run("document.querySelectorAll('img').length") == 0
