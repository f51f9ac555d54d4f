"""Linear systems of one input in their minimal form: what the gradient reaches and the parameters see.

    x' = F x + b g          held point = c_held x          iterate = c_iterate x

With g = lam held, the closed loop is F + lam b c_held, and its characteristic polynomial is affine in the curvature:

    det(z I - F - lam b c_held) = p(z) - lam q(z)          p(z) = det(z I - F)          q(z) = c_held adj(z I - F) b

NumPy and nothing else.
"""

from typing import NamedTuple

import numpy as np

# Directions whose share is smaller than this are taken for rounding.
REACHED = 1e-9


class System(NamedTuple):
    """Arrays F (n, n), b (n,), c_held (n,), c_iterate (n,)."""

    F: np.ndarray
    b: np.ndarray
    c_held: np.ndarray
    c_iterate: np.ndarray

    def closed_loop(self, curvature: np.ndarray) -> np.ndarray:
        """(..., n, n) for curvatures (...)."""
        return self.F + curvature[..., None, None] * np.outer(self.b, self.c_held)

    def polynomials(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """p, q of the held point and q of the iterate, each (n + 1,), the highest power first.

        By the recursion of Faddeev and Leverrier for the adjugate.
        """
        n = len(self.F)
        p, adjugate = np.ones(n + 1), np.eye(n)
        held, iterate = np.zeros(n + 1), np.zeros(n + 1)
        for k in range(1, n + 1):
            held[k], iterate[k] = self.c_held @ adjugate @ self.b, self.c_iterate @ adjugate @ self.b
            p[k] = -np.trace(self.F @ adjugate) / k
            adjugate = self.F @ adjugate + p[k] * np.eye(n)
        return p, held, iterate


def minimal(system: System) -> System:
    """The part that the input reaches and the outputs see, in coordinates of like size."""
    F, b, c = minimal_arrays(system.F, system.b[:, None], np.stack([system.c_held, system.c_iterate]))
    return System(F, b[:, 0], c[0], c[1])


def minimal_arrays(F: np.ndarray, B: np.ndarray, C: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `minimal`, of F (n, n), B (n, inputs), C (outputs, n)."""
    scale = _balance(F, B, C)
    F, B, C = F * scale / scale[:, None], B / scale[:, None], C * scale
    F, B, C = _reached(F, B, C)
    F, C, B = _reached(F.T, C.T, B.T)
    return F.T, B.T, C.T


def _reached(F: np.ndarray, B: np.ndarray, C: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coordinates of what B, F B, F F B, ... span: a staircase of orthonormal blocks."""
    n = len(F)
    basis = np.zeros((n, 0))
    size = np.abs(F).max(initial=0.0) or 1.0
    block = B / (np.linalg.norm(B, axis=0).max(initial=0.0) or 1.0)
    while basis.shape[1] < n:
        for _ in range(2):
            block = block - basis @ (basis.T @ block)
        left, values, _ = np.linalg.svd(block, full_matrices=False)
        fresh = left[:, values > REACHED]
        if not fresh.shape[1]:
            break
        basis = np.concatenate([basis, fresh], 1)
        block = F @ fresh / size
    return basis.T @ F @ basis, basis.T @ B, C @ basis


def _balance(F: np.ndarray, B: np.ndarray, C: np.ndarray) -> np.ndarray:
    """Powers of two by which the coordinates' units are divided, so that what comes in and goes out are of one size.

    By Osborne's iteration on the loop from the outputs back to the inputs: a learning rate of 1e-12 is a unit, not rounding.
    """
    n, inputs, outputs = len(F), B.shape[1], len(C)
    size = n + inputs + outputs
    loop = np.zeros((size, size))
    loop[:n, :n], loop[:n, n : n + inputs], loop[n + inputs :, :n] = F, B, C
    loop[n : n + inputs, n + inputs :] = 1.0
    loop = np.abs(loop - np.diag(np.diag(loop)))
    scale = np.ones(size)
    for _ in range(30):
        before = scale.copy()
        for i in range(size):
            coming, going = loop[i].sum(), loop[:, i].sum()
            if coming and going:
                factor = 2.0 ** np.round(np.log2(coming / going) / 2)
                loop[i] /= factor
                loop[:, i] *= factor
                scale[i] *= factor
        if (scale == before).all():
            break
    return scale[:n]


def spectral_radius(M: np.ndarray) -> np.ndarray:
    """The largest modulus of an eigenvalue of matrices (..., n, n); of 1 x 1 and 2 x 2 by closed forms."""
    n = M.shape[-1]
    if n == 0:
        return np.zeros(M.shape[:-2])
    if n == 1:
        return np.abs(M[..., 0, 0])
    if n > 2:
        return np.abs(np.linalg.eigvals(M)).max(-1)
    half, difference = (M[..., 0, 0] + M[..., 1, 1]) / 2, (M[..., 0, 0] - M[..., 1, 1]) / 2
    product = M[..., 0, 1] * M[..., 1, 0]
    discriminant = difference * difference + product
    determinant = M[..., 0, 0] * M[..., 1, 1] - product
    real = np.abs(half) + np.sqrt(np.maximum(discriminant, 0))
    return np.where(discriminant < 0, np.sqrt(np.maximum(determinant, 0)), real)


def borders(system: System) -> np.ndarray:
    """The curvatures above 0 at which a root of p - lam q lies on the unit circle, in order.

    There lam = p(z) / q(z) is real, so that z is a root of p(z) q(1/z) - p(1/z) q(z).
    """
    p, q, _ = system.polynomials()
    across = np.convolve(p, q[::-1])
    across = across - across[::-1]
    largest = np.abs(across).max()
    across = np.where(np.abs(across) < 1e-14 * largest, 0, across)
    z = np.concatenate([np.roots(across), [1, -1]])
    z = z[np.abs(np.abs(z) - 1) < 1e-5]
    z = z / np.abs(z)
    below = np.polyval(q, z)
    crossed = np.abs(below) > 1e-12 * np.abs(q).max()
    found = np.polyval(p, z[crossed]) / below[crossed]
    return _distinct(found)


def borders_of_matrices(F: np.ndarray, E: np.ndarray) -> np.ndarray:
    """As `borders`, of F + lam E with E of any rank.

    There M = F + lam E has two eigenvalues with product 1, so that P -> P - M P M^T has a kernel on the symmetric P: an
    eigenvalue problem, quadratic in lam.
    """
    n, unit = len(F), np.abs(E).max() or 1.0
    # In units in which the curvature has the size of 1.
    E = E / unit
    symmetric = np.stack([_symmetric(n, i, j) for i in range(n) for j in range(i + 1)], 1)

    def reduced(matrix: np.ndarray) -> np.ndarray:
        return symmetric.T @ matrix @ symmetric

    constant, linear, square = (
        reduced(np.eye(n * n) - np.kron(F, F)),
        -reduced(np.kron(F, E) + np.kron(E, F)),
        -reduced(np.kron(E, E)),
    )
    # Off the origin, where there is always an eigenvalue 1.
    origin = 0.7321
    here = constant + origin * linear + origin**2 * square
    slope = np.linalg.solve(here, linear + 2 * origin * square)
    rest = np.linalg.solve(here, square)
    size = len(here)
    companion = np.block([[-slope, -rest], [np.eye(size), np.zeros((size, size))]])
    inverse = np.linalg.eigvals(companion)
    found = origin + 1 / inverse[np.abs(inverse) > 1e-12]
    found = np.real(found[np.abs(np.imag(found)) < 1e-6 * np.abs(found)])

    def beyond(curvatures: np.ndarray) -> np.ndarray:
        return spectral_radius(F + curvatures[:, None, None] * E) - 1

    # Those at infinity come as large numbers, which would make the others look small.
    found = _distinct(found[np.abs(beyond(found)) < 1e-4]) if found.size else found
    for _ in range(3 if found.size else 0):
        # Two equal roots split by 1e-8: Newton's steps bring the border to rounding.
        width = 1e-7 * found
        slope = (beyond(found + width) - beyond(found - width)) / (2 * width)
        found = found - np.clip(beyond(found) / np.where(slope == 0, np.inf, slope), -1e-3 * found, 1e-3 * found)
    return found / unit


def variance(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Of the output q(z) / p(z) under white noise of variance 1, by Astrom's recursion; inf where p is unstable.

    p, q: (..., n + 1), highest power first, p of any sign. Source: K. J. Astrom (1970), Introduction to Stochastic Control
    Theory, section 5.2.
    """
    p, q = np.array(np.broadcast_arrays(p, q), np.float64)
    lead = p[..., 0]
    # A root at 1, as at a curvature of 0, is unstable whichever way it is rounded.
    total, is_stable = np.zeros(p.shape[:-1]), (lead != 0) & (np.abs(p.sum(-1)) > 1e-15 * np.abs(p).sum(-1))
    with np.errstate(all="ignore"):
        for k in range(p.shape[-1] - 1, -1, -1):
            first = p[..., :1]
            total = total + q[..., k] ** 2 / p[..., 0]
            is_stable &= p[..., 0] * lead > 0
            if k:
                back = p[..., k::-1]
                q = (q - (q[..., k : k + 1] / first) * back)[..., :k]
                p = (p - (p[..., k : k + 1] / first) * back)[..., :k]
        return np.where(is_stable, total / lead, np.inf)


def stationary(M: np.ndarray, Q: np.ndarray) -> np.ndarray:
    """P = M P M^T + Q, of matrices (..., n, n)."""
    n = M.shape[-1]
    kron = np.einsum("...ij,...kl->...ikjl", M, M).reshape(*M.shape[:-2], n * n, n * n)
    Q = np.broadcast_to(Q, M.shape).reshape(*M.shape[:-2], n * n, 1)
    return np.linalg.solve(np.eye(n * n) - kron, Q).reshape(M.shape)


def _distinct(curvatures: np.ndarray) -> np.ndarray:
    """Those that are real and above 0, each once; what is 1e-9 of the largest is z = 1 in disguise."""
    size = np.abs(curvatures)
    largest = size.max(initial=0.0)
    along, across = np.real(curvatures), np.imag(curvatures)
    real = np.sort(along[(np.abs(across) < 1e-6 * size) & (along > 1e-9 * largest)])
    return real[np.diff(real, prepend=-np.inf) > 1e-7 * real]


def _symmetric(n: int, i: int, j: int) -> np.ndarray:
    matrix = np.zeros((n, n))
    matrix[i, j] = matrix[j, i] = 1.0
    return (matrix / np.linalg.norm(matrix)).ravel()
