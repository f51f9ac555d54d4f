"use strict";
// Linear algebra on x' = F x + b g, held point x[0], iterate readout x, with g = lam x[0]. No method's equation is here:
// the matrices come as polynomials in the hyperparameters, which Python read from the optimizers' own updates.
const algebra = (() => {
const range = n => [...Array(n).keys()];
const sum = values => { let total = 0; for (const v of values) total += v; return total; };
const dot = (a, b) => { let total = 0; for (let i = 0; i < a.length; i++) total += a[i] * b[i]; return total; };
const evaluate = (p, x) => p.reduce((value, c) => value * x + c, 0);

// The matrices of a method with hyperparameters {name: value}. A term is [coefficient, exponent, exponent, ...].
const at = (method, values) => {
  const h = method.hyperparameters.map(name => values[name]);
  const entry = terms => {
    let total = 0;
    for (const term of terms) {
      let value = term[0];
      for (let i = 0; i < h.length; i++) value *= h[i] ** term[i + 1];
      total += value;
    }
    return total;
  };
  const { F, b, readout, start } = method;
  const found = { F: F.map(row => row.map(entry)), b: b.map(entry), readout: readout.map(entry), start: start.map(entry) };
  return { ...found, ...reduced(polynomials(found)) };
};

// det(z I - F), and e0 adj(z I - F) b and readout adj(z I - F) b, the highest power first: Faddeev and Leverrier.
const polynomials = ({ F, b, readout }) => {
  const n = b.length, p = [1], held = [0], iterate = [0];
  let adjugate = range(n).map(i => range(n).map(j => +(i === j)));
  for (let k = 1; k <= n; k++) {
    const driven = adjugate.map(row => dot(row, b));
    held.push(driven[0]);
    iterate.push(dot(readout, driven));
    const next = range(n).map(i => range(n).map(j => sum(range(n).map(l => F[i][l] * adjugate[l][j]))));
    p.push(-sum(range(n).map(i => next[i][i])) / k);
    adjugate = next.map((row, i) => row.map((v, j) => v + (i === j ? p[k] : 0)));
  }
  return { p, held, iterate };
};

// Without the roots that all three share: memory that the gradient does not reach, or that the parameter does not see.
const reduced = ({ p, held, iterate }) => {
  const shared = q => x => Math.abs(evaluate(q, x)) <= 1e-12 * sum(q.map(Math.abs));
  const root = roots(p).filter(([, im]) => im === 0).map(([re]) => re).find(x => shared(held)(x) && shared(iterate)(x));
  if (root === undefined) return { p, held, iterate };
  const divided = q => q.slice(0, -1).reduce((found, c, i) => [...found, c + (i ? root * found[i - 1] : 0)], []);
  return reduced({ p: divided(p), held: divided(held), iterate: divided(iterate) });
};

// Of a polynomial with real coefficients, as [real, imaginary]: by formula up to degree 2, else by Durand and Kerner.
const roots = p => {
  if (p[0] === 0) return roots(p.slice(1));
  const [a, b, c] = p, n = p.length - 1;
  if (n < 1) return [];
  if (n === 1) return [[-b / a, 0]];
  if (n > 2) return durandKerner(p.map(v => v / a));
  const half = -b / (2 * a), square = half * half - c / a;
  if (square < 0) return [[half, Math.sqrt(-square)], [half, -Math.sqrt(-square)]];
  const large = half + (half < 0 ? -1 : 1) * Math.sqrt(square);
  return [[large, 0], [large ? c / a / large : 0, 0]];
};
const durandKerner = p => {
  const n = p.length - 1, size = 1 + Math.max(...p.slice(1).map(Math.abs));
  const times = ([a, b], [c, d]) => [a * c - b * d, a * d + b * c];
  const over = ([a, b], [c, d]) => { const s = c * c + d * d; return [(a * c + b * d) / s, (b * c - a * d) / s]; };
  let z = range(n).map(k => [0.4 + 0.9 * k / n, 0.9 * (k + 1) / n].map(v => v * Math.min(size, 4)));
  for (let step = 0; step < 500; step++) {
    let moved = 0;
    z.forEach((one, i) => {
      const value = p.reduce((v, c) => { const [re, im] = times(v, one); return [re + c, im]; }, [0, 0]);
      const others = z.reduce((v, other, j) => j === i ? v : times(v, [one[0] - other[0], one[1] - other[1]]), [1, 0]);
      const [re, im] = over(value, others);
      z[i] = [one[0] - re, one[1] - im];
      moved = Math.max(moved, Math.hypot(re, im) / (1e-3 + Math.hypot(...one)));
    });
    if (moved < 1e-15) break;
  }
  return z.map(([re, im]) => [re, Math.abs(im) < 1e-11 * size ? 0 : im]);
};

const closed = ({ p, held }, lam) => p.map((c, i) => c - lam * held[i]);
const radius = z => Math.max(0, ...z.map(([re, im]) => Math.hypot(re, im)));

// The spectral radius on a curvature.
const rate = (system, lam) => radius(roots(closed(system, lam)));

// The least curvature above 0 at which a root of p - lam q crosses the unit circle. There lam = p(z) / q(z) is real: z = -1,
// or p(z) q(1/z) - p(1/z) q(z) = 0, which is (z - 1/z) times a polynomial in w = z + 1/z, where |w| <= 2.
const limit = ({ p, held }) => {
  const n = p.length - 1, crossings = [-1, 1].map(z => evaluate(p, z) / evaluate(held, z));
  // Coefficients of sin(k phi), k = 1..n; each is sin(phi) U_{k-1}(w / 2), and U_k = w U_{k-1} - U_{k-2}.
  const sines = range(n).map(k => sum(range(n - k).map(i => p[i] * held[i + k + 1] - held[i] * p[i + k + 1])));
  let [before, now] = [[0], [1]], inW = [0];
  const add = (a, b, f) => {
    const length = Math.max(a.length, b.length), padded = q => [...Array(length - q.length).fill(0), ...q];
    return padded(a).map((v, i) => v + f * padded(b)[i]);
  };
  sines.forEach(c => { inW = add(inW, now, c); [before, now] = [now, add([...now, 0], before, -1)]; });
  const size = Math.max(...inW.map(Math.abs));
  roots(inW.map(c => Math.abs(c) < 1e-14 * size ? 0 : c)).forEach(([w, im]) => {
    if (im || Math.abs(w) >= 2) return;
    // p(z) conj(q(z)) / |q(z)|^2 at z = exp(i phi): both parts from the cosines of multiples of phi.
    const phi = Math.acos(w / 2), over = (a, b) => sum(a.flatMap((v, i) => b.map((u, j) => v * u * Math.cos((i - j) * phi))));
    crossings.push(over(p, held) / over(held, held));
  });
  const edges = crossings.filter(lam => Number.isFinite(lam) && lam > 0).sort((a, b) => a - b);
  const largest = edges.at(-1) || 1;
  let low = 0;
  for (const high of [...edges.filter(lam => lam > 1e-9 * largest), Infinity]) {
    const middle = high === Infinity ? 2 * low + 1 : (low + high) / 2;
    if (!(rate({ p, held }, middle) < 1)) return low;
    low = high;
  }
  return Infinity;
};

// How far a constant gradient of 1 moves the parameter a step, in the long run: the gain of (z - 1) q / p at z = 1.
const effective = ({ p, held }) => -evaluate(held, 1) / evaluate(p.slice(0, -1).map((c, i) => (p.length - 1 - i) * c), 1);

// Of the iterate under gradient noise of variance 1: Astrom's recursion.
const variance = (system, lam) => {
  let p = closed(system, lam), q = [...system.iterate], total = 0;
  const lead = p[0];
  for (let k = p.length - 1; k >= 0; k--) {
    if (!(p[0] * lead > 0)) return Infinity;
    total += q[k] ** 2 / p[0];
    const [fp, fq] = [p[k] / p[0], q[k] / p[0]], back = [...p].reverse();
    [p, q] = [p.map((v, i) => v - fp * back[i]).slice(0, k), q.map((v, i) => v - fq * back[i]).slice(0, k)];
  }
  return total / lead;
};

const stepped = ({ F, b }, x, g) => F.map((row, i) => dot(row, x) + b[i] * g);

// What one gradient of 1 does to the held point, step by step.
const impulse = (system, length) => {
  let x = system.b.map(() => 0);
  return range(length).map(k => { const before = x[0]; x = stepped(system, x, +(k === 0)); return x[0] - before; });
};

// The iterates along one direction from theta_0 = 1, theta_0 first.
const path = (system, lam, steps) => {
  let x = system.start;
  return [1, ...range(steps).map(() => { x = stepped(system, x, lam * x[0]); return dot(system.readout, x); })];
};

return { at, closed, effective, impulse, limit, path, radius, rate, roots, variance };
})();
