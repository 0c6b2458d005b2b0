"""Operations: formulas, each with its rule under it and its traits beside it. `minigrad` re-exports the public ones.

    comparisons   comparisons, logic, rounding, where
    arithmetic    + − · /, squares, |x|, maximum, minimum, clip
    functions     powers, exponentials, logarithms, trigonometric and hyperbolic functions, erf
    activations   sigmoid, softplus, relu, gelu and the like
    gaussian      a normal sample from its noise
    shape         reshape, transpose, pad, astype, copy
    indexing      x[i], take, diagonal
    arrange       concatenate, stack, split, roll, pad with other modes, tile
    reduce        sums and counts
    extremes      max, min, argmax, sort
    statistics    means, variances, norms
    softmax       logsumexp, softmax
    linalg        products of matrices, einsum
    inverses      inverses, linear equations, Cholesky factors, determinants
    scan          cumulative sums and products
    conv          convolution, deconvolution, depth to space
    methods       operators and methods of traced values, and NumPy's protocols

`define` is how elementwise operations are written in one statement; the operations that rules are made of (add,
multiply, reshape, …) have their formulas in `minigrad.core.vectors`.
"""

CONVENTIONS = {
    "abs, sign": "0 at 0",
    "relu": "0 at 0",
    "leaky_relu, elu": "the slope of the left side at 0",
    "maximum, minimum": "½ to each argument at a tie",
    "max, min": "1/n to each of n tied elements",
    "clip": "1 to x on both edges, 0 to the edges themselves there",
    "where": "0 to the branch not taken, even where its value is NaN (but an infinite slope in it still gives 0·∞)",
    "sort": "ties keep their order",
    "sqrt": "+∞ at 0, its limit",
    "power": "x₁^x₂ at x₁ = 0: 0 to the exponent; 0·0⁻¹ counts as 0 to the base",
    "hypot, arctan2, norm, std": "0 where the function has a cone's tip, for every order",
    "logaddexp, logsumexp": "0 where every argument is −∞",
    "cholesky": "to the lower triangle only, which is all it reads",
    "sign, floor, ceil, rint, step, comparisons": "no derivative (a constant)",
}
"""What derivatives are at kinks and ties."""
