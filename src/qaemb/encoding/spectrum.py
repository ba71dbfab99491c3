"""The eigenbasis of X'X, from which ridge solutions and their inverses of any penalty follow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qaemb.encoding.moments import Array

_RELATIVE_ZERO = 1e-10  # an eigenvalue of X X' below this share of the largest is rounding


@dataclass(frozen=True)
class Spectrum:
    """X'X = V diag(l) V' for (rows, p) X: `vectors` V (p, k) and `eigenvalues` l (k,); k < p where rows are few."""

    eigenvalues: Array
    vectors: Array

    def weights(self, xy: Array, alphas: Array) -> Array:
        """Return (X'X + alpha I)^-1 X'Y, (p, v), from X'Y (p, v) and one penalty a target (v,)."""
        return self.vectors @ self.coordinates(xy, alphas)

    def coordinates(self, xy: Array, alphas: Array) -> Array:
        """Return the weights in the eigenbasis, (k, v)."""
        return (self.vectors.T @ xy) / (self.eigenvalues[:, None] + alphas)

    def inverse(self, alpha: float) -> Array:
        """Return (X'X + alpha I)^-1, (p, p), for alpha above 0."""
        if self.vectors.shape[0] == self.vectors.shape[1]:
            return (self.vectors / (self.eigenvalues + alpha)) @ self.vectors.T
        # Directions that no row has are left to the penalty alone.
        found = (self.vectors * (-self.eigenvalues / (self.eigenvalues + alpha))) @ self.vectors.T
        found[np.diag_indices_from(found)] += 1.0
        return found / alpha


def spectrum_of_products(products: Array) -> Spectrum:
    """Return the spectrum of X'X (p, p)."""
    eigenvalues, vectors = np.linalg.eigh(products)
    # Collinear features give eigenvalues that should be 0 and come out slightly negative.
    return Spectrum(np.maximum(eigenvalues, 0.0), vectors)


def spectrum_of_rows(design: Array) -> Spectrum:
    """Return the spectrum of X'X from X (rows, p) by way of X X', which is smaller where p exceeds the rows."""
    eigenvalues, vectors = np.linalg.eigh(design @ design.T)
    kept = eigenvalues > _RELATIVE_ZERO * max(eigenvalues[-1], np.finfo(np.float64).tiny)
    return Spectrum(eigenvalues[kept], design.T @ (vectors[:, kept] / np.sqrt(eigenvalues[kept])))
