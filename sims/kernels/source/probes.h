/* What one core can do at best: the rates that the kernels are measured against.
 * Included once per arithmetic type, after vectors.h. */

/* Independent multiply-adds in registers: 2 × LANES flops each. */
EXPORT double NAME(probe_multiply_add)(long repeats)
{
    enum { CHAINS = 12 };
    VEC chain[CHAINS];
    const VEC factor = ALL((REAL)0.999), term = ALL((REAL)1e-3);
    UNROLL for (int k = 0; k < CHAINS; k++) chain[k] = ALL((REAL)k);
    for (long n = 0; n < repeats; n++) {
        UNROLL for (int k = 0; k < CHAINS; k++) chain[k] = chain[k] * factor + term;
        KEEP_IN_REGISTERS(chain[0]);
    }
    VEC sum = chain[0];
    UNROLL for (int k = 1; k < CHAINS; k++) sum += chain[k];
    probe_sink = sum[0];
    return (double)repeats * CHAINS * LANES * 2; /* flops done */
}

/* STREAM's triad a = b + s c over arrays of the given length: 3 × sizeof(REAL) bytes per element,
 * not counting that a's lines are read before they are written. */
EXPORT double NAME(probe_triad)(REAL *a, const REAL *b, const REAL *c, long length)
{
    const REAL scale = (REAL)3;
    for (long i = 0; i < length; i++) a[i] = b[i] + scale * c[i];
    return 3.0 * sizeof(REAL) * (double)length;
}
