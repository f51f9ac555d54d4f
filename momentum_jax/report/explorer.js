(() => {
const data = JSON.parse(document.getElementById("data").textContent);
const { methods, knobs, presets } = data;
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const id = name => document.getElementById(name);
// Where a path begins, along the ravine and across it.
const START = [-1, 0.7], STEEP = 1;
const state = {};

// A method with hyperparameters; one that is matched gets the learning rate that gives it an effective one.
const unit = (method, given) => algebra.effective(algebra.at(method, { ...given, learning_rate: 1 }));
const built = (method, given, target, per = method.matched && unit(method, given)) => {
  const learning_rate = method.matched ? target / per : given.learning_rate;
  return { learning_rate, system: algebra.at(method, { ...given, learning_rate }) };
};
const target = given => algebra.effective(algebra.at(methods[0], given));

// All that the page shows, of every method. Pairs are of the gentle direction and of the steep one.
const measure = given => {
  const effective = target(given), curvatures = [1 / given.kappa, STEEP];
  const found = methods.map(method => {
    const { learning_rate, system } = built(method, given, effective);
    const each = curvatures.map(lam => algebra.path(system, lam, data.steps));
    return {
      learning_rate, system,
      effective: algebra.effective(system),
      limit: algebra.limit(system),
      rates: curvatures.map(lam => algebra.rate(system, lam)),
      variances: curvatures.map(lam => algebra.variance(system, lam)),
      impulse: algebra.impulse(system, data.shares),
      path: each.map((positions, i) => positions.map(v => v * START[i])),
    };
  });
  const plain = found.at(-1).variances;
  return found.map(one => ({ ...one, ratios: one.variances.map((v, i) => v / plain[i]) }));
};

const shown = v => {
  if (v === Infinity || Number.isNaN(v)) return "∞";
  const size = Math.abs(v);
  if (size < 1e-12) return "0";
  if (size < 1e5 && size >= 1e-3) return String(+v.toPrecision(3));
  const [digits, power] = v.toExponential(1).split("e");
  return `${digits}·10${[...String(+power)].map(c => c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c]).join("")}`;
};
const rated = v => v >= 1 || v < 0.9 ? shown(v) : String(+v.toPrecision(4));
const perTen = rate => Math.log(10) / -Math.log(rate);
const worst = one => Math.max(...one.rates);
const ratio = (v, gone) => gone ? "none" : shown(v);

// Pictures: SVG in pixels, drawn anew when a width or a value changes. Each returns what is drawn, a caption, and a sentence.
const draw = {};
const tag = (name, attributes, text = "") => {
  const written = Object.entries(attributes).map(([k, v]) => `${k}="${v}"`).join(" ");
  return `<${name} ${written}>${text}</${name}>`;
};
const px = v => Math.max(-5e3, Math.min(5e3, +v.toFixed(2)));
const circle = (x, y, r, name) => tag("circle", { cx: px(x), cy: px(y), r, class: name });
const line = (x1, y1, x2, y2, name) => tag("line", { x1: px(x1), y1: px(y1), x2: px(x2), y2: px(y2), class: name });
const words = (x, y, text, anchor = "middle") => tag("text", { x: px(x), y: px(y), "text-anchor": anchor }, text);
const through = points => "M" + points.map(([x, y]) => `${px(x)} ${px(y)}`).join("L");
const times = n => n === 0 ? "never" : n === 1 ? "once" : `${n} times`;

draw.path = (one, method, w) => {
  const scale = w / 2.5, h = Math.round(1.9 * scale), x = v => w / 2 + scale * v, y = v => h / 2 - scale * v;
  const m = 1 / state.kappa, loss = m * START[0] ** 2 + START[1] ** 2;
  const radii = share => ({ rx: px(scale * Math.sqrt(share * loss / m)), ry: px(scale * Math.sqrt(share * loss)) });
  let marks = [1, 0.5, 0.2, 0.05].map(share =>
    tag("ellipse", { cx: w / 2, cy: h / 2, ...radii(share), class: "contour" })).join("");
  const [along, across] = one.path, inside = along.findIndex((v, k) => Math.hypot(v, across[k]) > 30);
  const points = along.map((v, k) => [x(v), y(across[k])]).slice(0, inside < 0 ? undefined : inside + 1);
  marks += line(w / 2 - 5, h / 2, w / 2 + 5, h / 2, "axis") + line(w / 2, h / 2 - 5, w / 2, h / 2 + 5, "axis");
  marks += tag("path", { d: through(points), class: "walk" });
  marks += points.map(([a, b], k) => circle(a, b, k ? 2 : 4, k ? "dot" : "ringed")).join("");
  const swings = of => of.slice(1).filter((v, k) => v * of[k] < 0 && Math.abs(v) > 1e-3).length;
  const left = Math.hypot(along.at(-1), across.at(-1)) / Math.hypot(...START), steps = `${data.steps} steps`;
  const caption = worst(one) >= 1 ? `Diverges: ${shown(left)} times as far after ${steps}.`
    : `${left < 1e-4 ? "Less than 0.01" : shown(100 * left)}% of the distance is left after ${steps}.`;
  const alt = `Path of ${method.short}. ${caption} It crosses the floor of the ravine ${times(swings(across))} and swings past `
    + `the minimum along it ${times(swings(along))}.`;
  return { h, marks, caption, alt };
};

// Of each method, at each momentum, where the rate is below each level: intervals of learning rate times curvature.
// No row at a square of a level: where the rate is the root of the momentum, rounding would decide.
const LEVELS = [1, 0.95, 0.9, 0.8, 0.7, 0.5], ROWS = 43, COLUMNS = 44, REACH = 4;
const regions = new Map();
const region = (method, nu) => {
  const key = method.hyperparameters.includes("nu") ? method.name + nu : method.name;
  if (!regions.has(key)) {
    if (regions.size > 40) regions.clear();
    regions.set(key, [...Array(ROWS + 1).keys()].map(i => {
      const given = { momentum: 0.99 * i / ROWS, nu }, per = method.matched && unit(method, given);
      const at = learning_rate => {
        const values = { ...given, learning_rate };
        return built(method, values, method.matched && target(values), per).system;
      };
      const rates = [...Array(COLUMNS + 1).keys()].map(j => j ? algebra.rate(at(REACH * j / COLUMNS), STEEP) : 1);
      const below = level => {
        const ends = rates[0] < level ? [0] : [];
        rates.slice(1).forEach((b, j) => {
          if ((b < level) !== (rates[j] < level)) ends.push(REACH * (j + (level - rates[j]) / (b - rates[j])) / COLUMNS);
        });
        return ends.length % 2 ? [...ends, REACH] : ends;
      };
      return { momentum: given.momentum, limit: algebra.limit(at(1)), below: LEVELS.map(below) };
    }));
  }
  return regions.get(key);
};
draw.region = (one, method, w) => {
  const [left, top, below] = [24, 6, 20], h = Math.round(0.72 * w + below), high = h - top - below, wide = w - left - 8;
  const x = v => left + wide * v / REACH, y = v => top + high * (1 - v), rows = region(method, state.nu);
  const bands = LEVELS.map((_, n) => {
    const pieces = rows.slice(1).map(({ momentum, below }, i) => {
      const [under, over] = [rows[i].below[n], below[n]], ends = under.length ? under : over;
      const same = under.length === over.length, [low, high] = [y(rows[i].momentum), y(momentum)];
      return ends.flatMap((v, k) => k % 2 ? [] : [through([
        [x(v), low], [x(ends[k + 1]), low], [x((same ? over : ends)[k + 1]), high], [x((same ? over : ends)[k]), high],
      ]) + "z"]).join("");
    });
    return tag("path", { d: pieces.join(""), class: "band" });
  }).join("");
  const edge = rows.map(({ momentum, limit }) => [x(Math.min(limit, 1e3)), y(momentum)]);
  const grid = [0, 1, 2, 3, 4].map(v => words(x(v), h - 5, v)).join("")
    + [0, 0.5, 1].map(v => words(left - 5, y(v) + 4, v, "end")).join("");
  const [gentle, steep] = [state.learning_rate / state.kappa, state.learning_rate * STEEP], mu = y(state.momentum);
  const clip = `clip-${method.name.replace(/\W/g, "")}`;
  const marks = `<clipPath id="${clip}">${tag("rect", { x: left, y: top, width: wide, height: high })}</clipPath>`
    + `<g clip-path="url(#${clip})">${bands}${tag("path", { d: through(edge), class: "edge" })}</g>`
    + tag("rect", { x: left, y: top, width: wide, height: high, class: "frame" }) + grid
    + line(x(gentle), mu, x(steep), mu, "between")
    + circle(x(gentle), mu, 4, "here hollow") + circle(x(steep), mu, 4.5, "here");
  const limit = one.limit * state.learning_rate, is = one.limit > STEEP;
  const caption = `Stable below ${shown(limit)}; the steep direction is at ${shown(steep)}${is ? "." : ": outside."}`;
  const alt = `Stability of ${method.short} at momentum ${shown(state.momentum)}: learning rate times curvature must be below `
    + `${shown(limit)}. The steep direction is at ${shown(steep)}, the gentle one at ${shown(gentle)}.`;
  return { h, marks, caption, alt };
};

draw.roots = (one, method, w) => {
  const h = w, scale = w / 2.6, x = v => w / 2 + scale * v, y = v => h / 2 - scale * v;
  const at = lam => algebra.roots(algebra.closed(one.system, lam));
  // What lies outside of the picture is drawn on its border.
  const put = (z, r, name) => {
    const far = Math.max(1, ...z.map(v => Math.abs(v) / 1.24));
    return circle(x(z[0] / far), y(z[1] / far), r, name);
  };
  const [gentle, steep] = [at(1 / state.kappa), at(STEEP)];
  const between = [...Array(121).keys()].flatMap(i => at(state.kappa ** (i / 120 - 1))).filter(z => Math.hypot(...z) < 1.8);
  const marks = line(0, h / 2, w, h / 2, "gl") + line(w / 2, 0, w / 2, h, "gl") + circle(w / 2, h / 2, px(scale), "axis")
    + between.map(z => circle(x(z[0]), y(z[1]), 1.3, "tiny")).join("")
    + gentle.map(z => put(z, 4.5, "ringed")).join("") + steep.map(z => put(z, 5, "solid")).join("");
  const turns = ([re, im]) => im ? `turn by ${shown(Math.abs(Math.atan2(im, re)) * 180 / Math.PI)}° a step`
    : re < 0 ? "alternate" : "do not swing";
  const slow = z => z.reduce((a, b) => Math.hypot(...b) > Math.hypot(...a) ? b : a);
  const [along, across] = one.rates, outside = Math.max(along, across) >= 1;
  const caption = `Largest modulus ${rated(across)} across, ${rated(along)} along${outside ? ": outside." : "."}`;
  const alt = `Roots of ${method.short}. Across the ravine the largest modulus is ${rated(across)}, and distances `
    + `${turns(slow(steep))}; along it ${rated(along)}, and they ${turns(slow(gentle))}.`;
  return { h, marks, caption, alt };
};

draw.impulse = (one, method, w) => {
  const shares = one.impulse.map(v => -v / one.effective), [left, top, below] = [36, 8, 20], h = Math.round(0.62 * w + below);
  const high = Math.max(...shares), low = Math.min(0, ...shares), wide = w - left - 6;
  const x = k => left + wide * (k + 0.5) / data.shares, y = v => top + (h - top - below) * (high - v) / (high - low);
  const thick = Math.max(1.5, 0.6 * wide / data.shares);
  const marks = line(left, y(0), w - 6, y(0), "axis") + words(left - 5, y(high) + 5, +high.toPrecision(2), "end")
    + words(left - 5, y(0) + 4, "0", "end")
    + [0, 10, 20, 30].map(k => words(x(k), h - 5, k)).join("")
    + shares.map((v, k) => line(x(k), y(0), x(k), y(v), `bar" style="stroke-width:${thick.toFixed(1)}`)).join("");
  let within = 0, steps = 0;
  while (steps < shares.length && within < 0.9) within += shares[steps++];
  const done = within < 0.9 ? `${shown(100 * within)}% of it in ${steps} steps.`
    : `90% of it in ${steps === 1 ? "the first step" : `${steps} steps`}.`;
  const caption = `First step ${shown(100 * shares[0])}%; ${done}`;
  return { h, marks, caption, alt: `One gradient in ${method.short}. Share of its effect: ${caption}` };
};

draw.noise = (found, _, w) => {
  const [left, top, below] = [34, 8, 36], h = Math.round(Math.min(300, 0.62 * w) + below), TALL = 1.5;
  const lowest = Math.min(1 / state.kappa, 0.5), wide = w - left - 10;
  const x = lam => left + wide * (1 - Math.log(lam) / Math.log(lowest)), y = v => top + (h - top - below) * (1 - v / TALL);
  const plain = found.at(-1), end = Math.min(STEEP, plain.limit);
  let marks = "";
  if (end < STEEP) {
    const from = x(Math.max(end, lowest));
    marks += tag("rect", { x: px(from), y: top, width: px(w - 10 - from), height: h - top - below, class: "lost" })
      + (w - 10 - from > 150 ? words((from + w - 10) / 2, top + 22, "gradient descent diverges") : "");
  }
  marks += [0, 0.5, 1, 1.5].map(v => line(left, y(v), w - 10, y(v), "gl") + words(left - 6, y(v) + 4, v, "end")).join("");
  const ticks = [1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001].filter(v => v >= 0.999 * lowest);
  marks += ticks.filter((v, i) => w > 500 || ticks.length < 6 || i % 3 === 0).map(v => words(x(v), h - 20, v)).join("")
    + words(w - 10, h - 4, "curvature", "end");
  const grid = [...Array(161).keys()].map(i => lowest ** (1 - i / 160)).filter(lam => lam < 0.999 * end);
  const below0 = grid.map(lam => algebra.variance(plain.system, lam));
  found.forEach((one, n) => {
    const points = grid.map((lam, i) => [lam, algebra.variance(one.system, lam) / below0[i]]).filter(([, v]) => v < 2 * TALL);
    if (points.length > 1) {
      const style = all("#numbers tbody .key")[n].classList[1], d = through(points.map(([lam, v]) => [x(lam), y(v)]));
      marks += `<g class="${style}">${tag("path", { d, class: `line k${style.slice(1)}` })}</g>`;
    }
  });
  const lam = Math.min(STEEP, 0.9 * plain.limit), base = algebra.variance(plain.system, lam);
  const said = found.slice(0, -1).map((one, n) => [methods[n].short, algebra.variance(one.system, lam) / base]);
  const each = said.map(([name, v]) => v === Infinity ? `${name} diverges` : `${name} has ${shown(v)} of it`).join(", ");
  const gone = end < STEEP ? ` From ${shown(end)} on gradient descent diverges.` : "";
  const caption = plain.limit <= lowest ? "Gradient descent diverges on every curvature of the ravine: there is no ratio."
    : `At curvature ${shown(lam)}, relative to the variance of gradient descent: ${each}.${gone}`;
  return { h, marks, caption, alt: `Noise against curvature. ${caption}` };
};

let found = [];
const picture = figure => {
  const svg = figure.querySelector("svg.plot"), w = Math.round(svg.getBoundingClientRect().width), n = figure.dataset.method;
  if (w < 40) return;
  const { h, marks, caption, alt } = draw[figure.dataset.picture](n ? found[n] : found, methods[n], w);
  svg.setAttribute("viewBox", `0 0 ${w} ${h}`);
  svg.setAttribute("height", h);
  svg.setAttribute("aria-label", alt);
  svg.innerHTML = marks;
  figure.querySelector("p").textContent = caption;
};

const numbers = () => {
  const gone = found.at(-1).rates.map(v => v >= 1);
  all("#numbers tbody tr").forEach((row, n) => {
    const one = found[n], [along, across] = one.rates, slow = worst(one);
    const cells = [shown(one.learning_rate), shown(one.effective), shown(one.limit), rated(across), rated(along),
      slow < 1 ? shown(perTen(slow)) : "diverges", ratio(one.ratios[1], gone[1]), ratio(one.ratios[0], gone[0])];
    const bad = [0, 0, one.limit <= STEEP, across >= 1, along >= 1, slow >= 1, 0, 0];
    all("td", row).forEach((cell, k) => { cell.textContent = cells[k]; cell.classList.toggle("bad", !!bad[k]); });
  });
};

const summary = () => {
  const rates = found.map(worst), best = Math.min(...rates), lost = methods.filter((_, n) => rates[n] >= 1);
  const capital = text => text[0].toUpperCase() + text.slice(1);
  const names = list => list.map(m => m.short).join(", ").replace(/, ([^,]*)$/, " and $1");
  const first = methods.filter((_, n) => rates[n] - best < 1e-9);
  const fast = first.length === methods.length ? `All four have rate ${rated(best)}`
    : `${capital(names(first))} ${first.length > 1 ? "are" : "is"} fastest with rate ${rated(best)}`;
  const lose = lost.length ? `${capital(names(lost))} ${lost.length > 1 ? "diverge" : "diverges"}.` : "All four converge.";
  id("said").textContent = best >= 1 ? "All four diverge: the steep direction is beyond every limit."
    : `${fast}: ${shown(perTen(best))} steps for a factor of 10. ${lose}`;
};

// What is in view is drawn at once; the rest, and the sentence that is read aloud, when the sliders rest.
let waiting = 0, rest = 0;
const figures = all("[data-picture]");
const finish = rest => { summary(); rest.forEach(picture); };
const render = () => {
  waiting = 0;
  found = measure(state);
  numbers();
  const seen = figures.filter(figure => {
    const { bottom, top } = figure.getBoundingClientRect();
    return bottom > 0 && top < innerHeight;
  });
  seen.forEach(picture);
  clearTimeout(rest);
  rest = setTimeout(() => finish(figures.filter(figure => !seen.includes(figure))), 150);
};
const later = () => { waiting = waiting || requestAnimationFrame(render); };

// A slider stands at a power of ten or at the value; the number beside it may hold more digits.
const set = values => {
  Object.assign(state, values);
  knobs.forEach(({ key, name, log }) => {
    const slider = id(key), number = id(`${key}-number`), v = state[key];
    if (document.activeElement !== slider) slider.value = log ? Math.log10(v) : v;
    if (document.activeElement !== number) number.value = +v.toPrecision(5);
    slider.setAttribute("aria-valuetext", `${name} ${+v.toPrecision(4)}`);
  });
  const is = presets.findIndex(preset => knobs.every(({ key }) => preset[key] === state[key]));
  all("[data-preset]").forEach((chip, n) => chip.setAttribute("aria-pressed", n === is));
  id("lesson").textContent = is < 0 ? "Values of your own. Each example above shows one effect." : presets[is].lesson;
  later();
};
knobs.forEach(({ key, low, high, log }) => {
  const slider = id(key), number = id(`${key}-number`), within = v => Math.max(low, Math.min(high, v));
  slider.oninput = () => set({ [key]: within(log ? +(10 ** slider.value).toPrecision(3) : +slider.value) });
  number.oninput = () => { if (number.value !== "" && number.checkValidity()) set({ [key]: +number.value }); };
  number.onblur = () => set({});
});
all("[data-preset]").forEach((chip, n) => {
  chip.onclick = () => set(Object.fromEntries(knobs.map(({ key }) => [key, presets[n][key]])));
});
id("controls").onsubmit = event => event.preventDefault();
new ResizeObserver(later).observe(document.querySelector("main"));
set(Object.fromEntries(knobs.map(({ key }) => [key, presets[0][key]])));
render();

// For the console, and for tests: the same numbers that the page shows, and all of its pictures at once.
globalThis.explorer = { draw: () => { render(); clearTimeout(rest); finish(figures); }, measure, set, state };
})();
