"use strict";
(() => {
const data = JSON.parse(document.getElementById("data").textContent);
const root = document.documentElement;
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const element = (name, text, style = {}) => {
  const made = document.createElement("span");
  made.className = name;
  made.textContent = text;
  Object.assign(made.style, style);
  return made;
};

// The tip says what a word means, where a result comes from, or what a mark is. It is built of text nodes alone.
const tip = document.getElementById("tip"), told = "[data-src],[data-def],[data-t],.ax .d";
const show = (nodes, x, y) => {
  tip.replaceChildren(...nodes);
  tip.hidden = false;
  const { offsetWidth: w, offsetHeight: h } = tip;
  tip.style.left = Math.max(8, Math.min(x - w / 2, root.clientWidth - w - 8)) + scrollX + "px";
  tip.style.top = (y - h - 12 < 0 ? y + 22 : y - h - 12) + scrollY + "px";
};
const hide = () => { tip.hidden = true; };
// The words of a ring are among those of its row: the last of them are of the rings, in their order.
const ring = e => {
  const row = e.parentElement, rings = all(".d", row), texts = row.getAttribute("aria-label").slice(0, -1).split("; ");
  return texts.slice(-rings.length)[rings.indexOf(e)].replace(/^.*\bseed /s, "seed ");
};
const words = e => {
  const source = data.sources[e.dataset.src];
  if (!source) return [e.dataset.def ? data.words[e.dataset.def] : e.dataset.t || ring(e)];
  const line = text => { const made = document.createElement("div"); made.textContent = text; return made; };
  const [what, exact, runs] = source;
  return [line(what.map(part => data.parts[part]).join("")), line("unrounded: " + exact), line("runs: " + runs)];
};
const tell = event => {
  const e = event.target.closest && event.target.closest(told);
  if (!e) return;
  const box = e.getBoundingClientRect();
  show(words(e), event.clientX || box.left + box.width / 2, box.top);
  if (e.tagName === "A") e.setAttribute("aria-describedby", "tip");
};
const forget = event => { if (event.target.closest && event.target.closest(told)) hide(); };
document.addEventListener("pointerover", tell);
document.addEventListener("focusin", tell);
document.addEventListener("pointerout", forget);
document.addEventListener("focusout", hide);
document.addEventListener("keydown", event => { if (event.key === "Escape") hide(); });

// Every source leads to the table of runs, which is folded.
document.addEventListener("click", event => {
  const link = event.target.closest && event.target.closest('a[href="#runs"]');
  const runs = document.getElementById("runs");
  if (link && runs) runs.open = true;
});

// Rows of a forest by the values of their facets.
all(".filters").forEach(filters => {
  const selects = all("select", filters), rows = all("[data-facets]", filters.parentElement);
  const choose = () => {
    let count = 0;
    rows.forEach(row => {
      const own = row.dataset.facets.split("\n");
      row.hidden = selects.some(select => select.value && select.value !== own[select.dataset.facet]);
      count += !row.hidden;
    });
    filters.lastElementChild.textContent = `${count} of ${rows.length}`;
  };
  selects.forEach(select => {
    select.onchange = choose;
    select.value = [...select.options].find(option => option.text.endsWith(" (the question)"))?.value || "";
  });
  filters.hidden = false;
  choose();
});

// Arms on and off, in all figures at once.
all(".chip").forEach(chip => {
  chip.disabled = false;
  chip.onclick = () => {
    const off = root.classList.toggle("off" + chip.dataset.arm);
    all(`.chip[data-arm="${chip.dataset.arm}"]`).forEach(each => each.setAttribute("aria-pressed", !off));
    document.dispatchEvent(new Event("arms"));
  };
});

// Curves: values under a crosshair, zoom.
const ticks = (low, high, most) => {
  const size = (high - low) / most, power = 10 ** Math.floor(Math.log10(size));
  const step = [1, 2, 5, 10].find(each => each * power >= size) * power, found = [];
  for (let v = Math.ceil(low / step - 1e-9) * step; v <= high + step * 1e-9; v += step) found.push(+v.toPrecision(10));
  return [found, step];
};
all("[data-chart]").forEach(figure => {
  const chart = data.charts[figure.dataset.chart], area = figure.querySelector(".pa"), svg = area.querySelector("svg");
  const live = figure.querySelector("[aria-live]"), reset = figure.querySelector(".reset");
  const up = chart.log ? Math.log10 : v => v, down = chart.log ? v => 10 ** v : v => v;
  const first = chart.x0, last = Math.max(chart.x1, chart.x0 + 1);
  const across = x => 1000 * (x - first) / (last - first), above = v => 1000 * (chart.y1 - up(v)) / (chart.y1 - chart.y0);
  const cursor = document.createElement("i");
  cursor.className = "cur";
  cursor.hidden = true;
  area.append(cursor);
  let view = [first, last], at = -1, drag = null;
  const written = (v, step) => {
    const digits = step >= 1 ? 0 : Math.min(6, -Math.floor(Math.log10(step) + 1e-9));
    const short = v < 1e-4 || v >= 1e6 ? v.toExponential(0).replace("e+", "e") : String(+v.toPrecision(3));
    return (step ? v.toFixed(digits) : short) + chart.unit;
  };
  const shown = () => chart.series.filter(line => !root.classList.contains("off" + line.arm));

  const draw = () => {
    const [a, b] = view, whole = a === first && b === last;
    let low = chart.y0, high = chart.y1;
    if (!whole) {
      const inside = shown().flatMap(line => chart.x.flatMap((x, i) =>
        x >= a && x <= b && line.low[i] != null ? [up(line.low[i]), up(line.high[i])] : [])).filter(Number.isFinite);
      if (inside.length && Math.max(...inside) > Math.min(...inside)) {
        const free = 0.06 * (Math.max(...inside) - Math.min(...inside));
        [low, high] = [Math.min(...inside) - free, Math.max(...inside) + free];
      }
    }
    const top = 1000 * (chart.y1 - high) / (chart.y1 - chart.y0), height = 1000 * (high - low) / (chart.y1 - chart.y0);
    svg.setAttribute("viewBox", `${across(a)} ${top} ${across(b) - across(a)} ${height}`);
    all(".yt,.xt,.gl", area).forEach(each => each.remove());
    let levels = [], step = 0;
    if (chart.log && high - low > 1) {
      const every = Math.max(1, Math.ceil((high - low) / 4));
      for (let power = Math.ceil(low); power <= high; power += every) levels.push(10 ** power);
    } else [levels, step] = ticks(down(low), down(high), 4);
    levels.filter(v => up(v) >= low - 1e-9 && up(v) <= high + 1e-9).forEach(v => {
      area.append(element("yt", written(v, step), { top: 100 * (high - up(v)) / (high - low) + "%" }));
      const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
      const places = { class: "gl", x1: across(a), x2: across(b), y1: above(v), y2: above(v) };
      Object.entries(places).forEach(([name, value]) => line.setAttribute(name, value));
      svg.prepend(line);
    });
    ticks(a, b, area.clientWidth < 420 ? 3 : 5)[0].filter(Number.isInteger).forEach(v => {
      const place = 100 * (v - a) / (b - a), transform = place > 88 ? "translateX(-75%)" : "";
      area.append(element("xt", v.toLocaleString("en"), { left: place + "%", transform }));
    });
    all(".el", area).forEach(each => { each.style.visibility = whole ? "" : "hidden"; });
    reset.hidden = whole;
    cursor.hidden = true;
  };
  const zoom = (a, b) => { view = [Math.max(first, a), Math.min(last, b)]; draw(); };
  const point = index => {
    at = Math.max(0, Math.min(chart.x.length - 1, index));
    const x = chart.x[at], share = (x - view[0]) / (view[1] - view[0]);
    if (share < 0 || share > 1) return;
    cursor.hidden = false;
    cursor.style.left = 100 * share + "%";
    const sign = chart.better === "higher" ? -1 : 1, value = v => +v.toPrecision(4) + chart.unit;
    const lines = shown().filter(line => line.mean[at] != null).sort((p, q) => sign * (p.mean[at] - q.mean[at]));
    const table = document.createElement("table");
    lines.forEach(line => {
      const row = table.insertRow();
      [line.name, value(line.mean[at]), `${value(line.low[at])} to ${value(line.high[at])}`].forEach(text => {
        row.insertCell().textContent = text;
      });
    });
    const title = document.createElement("b"), box = area.getBoundingClientRect();
    title.textContent = "step " + x.toLocaleString("en");
    show([title, table], box.left + share * box.width, box.top + 18);
    live.textContent = `step ${x}: ` + lines.map(line => `${line.name} ${value(line.mean[at])}`).join(", ");
  };
  const under = event => {
    const box = area.getBoundingClientRect();
    return view[0] + (event.clientX - box.left) / box.width * (view[1] - view[0]);
  };
  const nearest = x => chart.x.reduce((best, v, i) => Math.abs(v - x) < Math.abs(chart.x[best] - x) ? i : best, 0);
  area.addEventListener("pointermove", event => {
    const x = under(event);
    if (drag) {
      const [a, b] = [Math.min(drag.x, x), Math.max(drag.x, x)].map(v => 100 * (v - view[0]) / (view[1] - view[0]));
      drag.mark.style.left = Math.max(0, a) + "%";
      drag.mark.style.right = Math.max(0, 100 - b) + "%";
    }
    point(nearest(x));
  });
  area.addEventListener("pointerleave", () => { cursor.hidden = true; hide(); });
  area.addEventListener("pointerdown", event => {
    if (event.pointerType === "touch") { point(nearest(under(event))); return; }
    drag = { x: under(event), mark: element("sel", "") };
    area.append(drag.mark);
    area.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  const drop = event => {
    if (!drag) return;
    const x = under(event), [a, b] = [Math.min(drag.x, x), Math.max(drag.x, x)];
    drag.mark.remove();
    drag = null;
    if (event.type === "pointerup" && (b - a) / (view[1] - view[0]) > 0.03) zoom(a, b);
  };
  area.addEventListener("pointerup", drop);
  area.addEventListener("pointercancel", drop);
  area.addEventListener("dblclick", () => zoom(first, last));
  reset.onclick = () => { zoom(first, last); figure.focus(); };
  figure.querySelector(".late").onclick = () => zoom((first + last) / 2, last);
  figure.addEventListener("keydown", event => {
    if (event.target.tagName === "BUTTON" || event.ctrlKey || event.metaKey || event.altKey) return;
    const quarter = (view[1] - view[0]) / 4, middle = at < 0 ? (view[0] + view[1]) / 2 : chart.x[at];
    if (event.key === "ArrowRight") point(at + 1);
    else if (event.key === "ArrowLeft") point(at < 0 ? chart.x.length - 1 : at - 1);
    else if (event.key === "+" || event.key === "=") zoom(middle - quarter, middle + quarter);
    else if (event.key === "0" || event.key === "-") zoom(first, last);
    else return;
    event.preventDefault();
  });
  document.addEventListener("arms", draw);
  figure.querySelector(".tools").hidden = false;
  new ResizeObserver(draw).observe(area);
});

// What is to be typed can be copied; where the browser refuses, it is selected.
all(".copy").forEach(button => {
  const code = button.nextElementSibling;
  button.hidden = false;
  button.onclick = () => (navigator.clipboard ? navigator.clipboard.writeText(code.textContent) : Promise.reject()).then(
    () => { button.textContent = "copied"; },
    () => { getSelection().selectAllChildren(code); button.textContent = "selected"; });
});

// Print opens what is folded.
addEventListener("beforeprint", () => all("details:not([open])").forEach(each => { each.open = true; each.dataset.was = ""; }));
addEventListener("afterprint", () => all("details[data-was]").forEach(each => {
  each.open = false;
  delete each.dataset.was;
}));
})();
