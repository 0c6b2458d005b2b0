"""Operations: each formula with its derivative rule and its traits below it. `minigrad` re-exports the public ones.

    comparisons       comparisons, logic, rounding, where
    arithmetic        + − · /, squares, |x|, maximum, minimum, clip
    complex           real and imaginary parts, conjugates
    functions         powers, exponentials, logarithms, trigonometric and hyperbolic functions, angles, erf
    activations       sigmoid, softplus, relu, gelu and the like
    gaussian          a normal sample from its noise
    shape             reshape, transpose, pad, astype, copy
    indexing          x[i], take, diagonal
    updates           copies with changed elements, at(x)[index].set(v)
    arrange           concatenate, stack, split, roll, pad with other modes, tile
    reduce            sums and counts
    extremes          max, min, argmax, sort
    statistics        means, variances, norms
    softmax           logsumexp, softmax
    linalg            products of matrices, einsum
    inverses          inverses, linear equations, Cholesky factors, determinants
    decompositions    eigenvalues, singular values, QR
    matrix_functions  pseudoinverse, least squares, powers, exponential
    scan              cumulative sums and products
    conv              convolution, deconvolution, depth to space
    fft               Fourier transforms
    methods           operators and methods of traced values, and NumPy's protocols
    inplace           in-place operations, which raise on traced values

`define` declares an elementwise operation in one statement. The operations that derivative rules are built from (add,
multiply, reshape, …) are defined in `minigrad.core.vectors`.
"""

CONVENTIONS = {
    "abs, sign": "0 at 0",
    "relu": "0 at 0",
    "leaky_relu, elu": "the slope of the left side at 0",
    "maximum, minimum": "½ to each argument at a tie",
    "max, min": "1/n to each of n tied elements",
    "clip": "1 to x at both bounds, 0 to the bounds there",
    "where": "0 to the branch not taken, even where its value is NaN (but an infinite derivative in it gives 0·∞)",
    "sort": "ties keep their order",
    "at set": "0 to the values of a repeated position, but for the last, which stays",
    "sqrt": "+∞ at 0, its limit",
    "power": "x₁^x₂ at x₁ = 0: 0 to the exponent; for the base, 0·0⁻¹ is taken as 0",
    "hypot, arctan2, norm, std": "0 at the tip of the cone, to every order",
    "logaddexp, logsumexp": "0 where every argument is −∞",
    "eigvalsh, svdvals": "of equal values exact for functions symmetric in them; derivatives of vectors raise there",
    "cholesky": "only the lower triangle is read, so only it gets a derivative",
    "sign, floor, ceil, rint, step, comparisons": "no derivative (a constant)",
}
"""The derivative that each function has at its kinks and ties."""
