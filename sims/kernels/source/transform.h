/* Discrete Fourier transforms of LANES complex fields at once, one field per lane.
 *
 * Included once per arithmetic type, after vectors.h. Forward passes decimate in frequency and
 * leave the spectrum in digit-reversed order; backward passes decimate in time and take it from
 * there, so nothing is ever reordered: coefficients are stored in that order instead.
 * With w = exp(-2πi/m), a forward pass of size m and radix r takes the points j + k m/r
 * (k = 0..r-1), transforms over k and multiplies output k by w^(jk); the backward pass undoes it.
 */
#define FIELD NAME(field)

typedef struct {
    VEC re, im;
} FIELD;

/* Transforms of 2, 4 and 8 points in registers; swapping re and im makes them backward. */
INLINE void NAME(dft2)(VEC *re, VEC *im)
{
    const VEC r = re[1], i = im[1];
    re[1] = re[0] - r, im[1] = im[0] - i;
    re[0] = re[0] + r, im[0] = im[0] + i;
}

INLINE void NAME(dft4)(VEC *re, VEC *im)
{
    const VEC sum02r = re[0] + re[2], sum02i = im[0] + im[2];
    const VEC dif02r = re[0] - re[2], dif02i = im[0] - im[2];
    const VEC sum13r = re[1] + re[3], sum13i = im[1] + im[3];
    const VEC dif13r = re[1] - re[3], dif13i = im[1] - im[3];
    re[0] = sum02r + sum13r, im[0] = sum02i + sum13i;
    re[1] = dif02r + dif13i, im[1] = dif02i - dif13r;
    re[2] = sum02r - sum13r, im[2] = sum02i - sum13i;
    re[3] = dif02r - dif13i, im[3] = dif02i + dif13r;
}

INLINE void NAME(dft8)(VEC *re, VEC *im)
{
    const VEC c = ALL((REAL)0.70710678118654752440);
    VEC er[4], ei[4], dr[4], di[4];
    for (int k = 0; k < 4; k++) {
        er[k] = re[k] + re[k + 4], ei[k] = im[k] + im[k + 4];
        dr[k] = re[k] - re[k + 4], di[k] = im[k] - im[k + 4];
    }
    NAME(dft4)(er, ei);
    /* odd outputs: d1 w, d2 w², d3 w³ with w = (1 - i)/√2; the factor 1/√2 = c comes last */
    const VEC p1r = dr[1] + di[1], p1i = di[1] - dr[1];
    const VEC p3r = di[3] - dr[3], p3i = -(dr[3] + di[3]);
    const VEC ar = dr[0] + di[2], ai = di[0] - dr[2];
    const VEC br = dr[0] - di[2], bi = di[0] + dr[2];
    const VEC sr = p1r + p3r, si = p1i + p3i, tr = p1r - p3r, ti = p1i - p3i;
    for (int k = 0; k < 4; k++) re[2 * k] = er[k], im[2 * k] = ei[k];
    re[1] = ar + c * sr, im[1] = ai + c * si;
    re[5] = ar - c * sr, im[5] = ai - c * si;
    re[3] = br + c * ti, im[3] = bi - c * tr;
    re[7] = br - c * ti, im[7] = bi + c * tr;
}

INLINE void NAME(forward)(int radix, VEC *re, VEC *im)
{
    if (radix == 2) NAME(dft2)(re, im);
    else if (radix == 4) NAME(dft4)(re, im);
    else NAME(dft8)(re, im);
}

INLINE void NAME(backward)(int radix, VEC *re, VEC *im) { NAME(forward)(radix, im, re); }

/* twiddles: cos and -sin of 2πjk/m for k = 1..radix-1 at the present j */
INLINE void NAME(twiddle)(int radix, VEC *re, VEC *im, const REAL *twiddles)
{
    for (int k = 1; k < radix; k++) {
        const VEC c = ALL(twiddles[2 * k - 2]), s = ALL(twiddles[2 * k - 1]), r = re[k];
        re[k] = r * c - im[k] * s, im[k] = im[k] * c + r * s;
    }
}

INLINE void NAME(untwiddle)(int radix, VEC *re, VEC *im, const REAL *twiddles)
{
    for (int k = 1; k < radix; k++) {
        const VEC c = ALL(twiddles[2 * k - 2]), s = ALL(twiddles[2 * k - 1]), r = re[k];
        re[k] = r * c + im[k] * s, im[k] = im[k] * c - r * s;
    }
}

/* A pass of the given size; what it does at each j is chosen by the constants, see below. */
INLINE void NAME(pass)(int radix, int undo, int square, int redo, const FIELD *from, FIELD *to,
                       long size, const REAL *twiddles)
{
    const long stride = size / radix;
    for (long j = 0; j < stride; j++, twiddles += 2 * (radix - 1)) {
        VEC re[8], im[8];
        for (int k = 0; k < radix; k++)
            re[k] = from[j + k * stride].re, im[k] = from[j + k * stride].im;
        if (undo) {
            NAME(untwiddle)(radix, re, im, twiddles);
            NAME(backward)(radix, re, im);
        }
        if (square)
            for (int k = 0; k < radix; k++) re[k] *= re[k], im[k] *= im[k];
        if (redo) {
            NAME(forward)(radix, re, im);
            NAME(twiddle)(radix, re, im, twiddles);
        }
        for (int k = 0; k < radix; k++)
            to[j + k * stride].re = re[k], to[j + k * stride].im = im[k];
    }
}

#define DEFINE_PASSES(radix)                                                                      \
    static void NAME(forward_pass##radix)(const FIELD *from, FIELD *to, long size,                \
                                          const REAL *twiddles)                                   \
    {                                                                                             \
        NAME(pass)(radix, 0, 0, 1, from, to, size, twiddles);                                     \
    }                                                                                             \
    static void NAME(backward_pass##radix)(const FIELD *from, FIELD *to, long size,               \
                                           const REAL *twiddles)                                  \
    {                                                                                             \
        NAME(pass)(radix, 1, 0, 0, from, to, size, twiddles);                                     \
    }                                                                                             \
    /* backward to physical space, square both real fields, and forward again */                  \
    static void NAME(square_pass##radix)(FIELD *work, long size, const REAL *twiddles)            \
    {                                                                                             \
        NAME(pass)(radix, 1, 1, 1, work, work, size, twiddles);                                   \
    }

DEFINE_PASSES(2)
DEFINE_PASSES(4)
DEFINE_PASSES(8)

INLINE void NAME(outer_forward)(long radix, const FIELD *from, FIELD *to, long size,
                                const REAL *twiddles)
{
    if (radix == 2) NAME(forward_pass2)(from, to, size, twiddles);
    else if (radix == 4) NAME(forward_pass4)(from, to, size, twiddles);
    else NAME(forward_pass8)(from, to, size, twiddles);
}

INLINE void NAME(outer_backward)(long radix, const FIELD *from, FIELD *to, long size,
                                 const REAL *twiddles)
{
    if (radix == 2) NAME(backward_pass2)(from, to, size, twiddles);
    else if (radix == 4) NAME(backward_pass4)(from, to, size, twiddles);
    else NAME(backward_pass8)(from, to, size, twiddles);
}

INLINE void NAME(outer_square)(long radix, FIELD *work, long size, const REAL *twiddles)
{
    if (radix == 2) NAME(square_pass2)(work, size, twiddles);
    else if (radix == 4) NAME(square_pass4)(work, size, twiddles);
    else NAME(square_pass8)(work, size, twiddles);
}

#undef DEFINE_PASSES
