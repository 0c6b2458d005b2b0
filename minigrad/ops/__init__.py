"""Operations: each formula with its derivative rule and its traits below it. `minigrad` re-exports the public ones.

    placement         the device of an array
    dtypes            questions about dtypes and shapes
    comparisons       comparisons, logic, rounding, where
    arithmetic        + − · /, remainders, squares, |x|, maximum, minimum, clip
    complex           real and imaginary parts, conjugates
    functions         powers, exponentials, logarithms, trigonometric and hyperbolic functions, angles, sinc, erf
    activations       sigmoid, softplus, relu, gelu and the like
    gaussian          a normal sample from its noise
    shape             reshape, transpose, pad, astype, copy
    indexing          x[i], take, diagonal
    updates           copies with changed elements, at(x)[index].set(v)
    arrange           concatenate, stack, split, roll, pad with other modes, tile
    stacking          vstack, hsplit and the like
    reduce            sums and counts
    extremes          max, min, argmax, sort
    order_statistics  median, quantile, partition
    statistics        means, averages, variances, norms
    covariance        covariances and correlations
    nans              reductions that skip NaN
    softmax           logsumexp, softmax
    linalg            products of matrices, einsum
    products          inner, Kronecker and cross products
    inverses          inverses, linear equations, Cholesky factors, determinants
    decompositions    eigenvalues and singular values
    qr                QR decomposition
    matrix_functions  pseudoinverse, least squares, powers, exponential
    scan              cumulative sums and products
    ranges            linspace, meshgrid, full
    creation          new arrays from numbers: arange, zeros, eye
    sets              distinct elements, membership
    calculus          differences, gradients, integrals, interpolation, convolution of sequences
    conv              convolution, deconvolution, depth to space
    fft               Fourier transforms
    methods           operators and methods of traced values, and NumPy's protocols
    namespace         what the array API standard asks of a namespace
    inplace           in-place operations, which raise on traced values
    refused           NumPy functions that are not offered, and what to use instead

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
    "fmax, fmin": "0 to an argument that is NaN, else as maximum and minimum",
    "nanmax, nansum, nan_to_num": "0 to a NaN that is skipped or replaced",
    "sort, partition, median, quantile": "ties keep their order; q has the slope on its right",
    "remainder, fmod": "of the piece whose value is taken: 1 to x₁, minus the whole quotient to x₂",
    "interp": "of the piece on the right of a knot, at the last knot on its left; 0 beyond the knots",
    "at set": "0 to the values of a repeated position, but for the last, which stays",
    "sqrt, cbrt": "+∞ at 0, its limit",
    "power": "x₁^x₂ at x₁ = 0: 0 to the exponent; for the base, 0·0⁻¹ is taken as 0",
    "hypot, arctan2, norm, std": "0 at the tip of the cone, to every order: also of norm(x)² there, unlike sum(x * x)",
    "logaddexp, logsumexp": "0 where every argument is −∞",
    "eigvalsh, svdvals": "of equal values exact for functions symmetric in them; derivatives of vectors raise there",
    "cholesky": "only the lower triangle is read, so only it gets a derivative",
    "copysign": "±1 to x₁ by its sign bit, also at 0 and −0",
    "unique_values": "1 to the first of equal elements",
    "nextafter": "1 to x₁",
    "sign, signbit, floor, ceil, trunc, rint, step, comparisons": "no derivative (a constant)",
}
"""The derivative that each function has at its kinks and ties."""
