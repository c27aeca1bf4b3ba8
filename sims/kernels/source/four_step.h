/* One large real periodic field, u_t = -u u_x - u_xx - u_xxxx, by ETDRK4 and a four-step transform.
 *
 * Included after transform.h. N = N1 N2 points u[N2 n1 + n2] are N2 columns of N1 points. With
 * k = k1 + N1 k2, modes k1 = 0..N1/2 of the columns' transforms, times exp(-2πi k1 n2 / N), are
 * the rows whose transforms over n2 are the spectrum (k1, k2). Two passes over memory make a stage
 * of a step: one over columns (backward, square, forward) and one over rows (forward, update of
 * the spectrum, backward).
 *
 * What lies between the passes is cut into tiles of TILE rows × TILE columns, so that either pass
 * reads whole pieces of memory; a row of a tile has its real parts before its imaginary ones.
 * Tiles are found through tables of addresses: they may lie with other ranks. The lanes are
 * neighbouring columns in the one pass and neighbouring rows in the other, where LANES × LANES
 * transpositions in registers stand at both ends.
 *
 * Either transform has 8 R points, c + 8 m: for each c = 0..7 passes over the R points m, which
 * stay in the L1 cache, and then butterflies of 8 over c, into which fits what follows.
 */
enum { TILE = 8, TILE_NUMBERS = 2 * TILE * TILE, MOST_LEVELS = 8 };

typedef REAL NAME(loose) __attribute__((vector_size(VECTOR_BYTES), aligned(8), may_alias));

INLINE VEC NAME(load)(const REAL *from) { return *(const NAME(loose) *)from; }
INLINE void NAME(store)(REAL *to, VEC value) { *(NAME(loose) *)to = value; }

/* A transform of 8 length points. */
typedef struct {
    long length, num_levels;
    long radices[MOST_LEVELS];
    const REAL *twiddles[MOST_LEVELS]; /* of the passes over m, as transform.h reads them */
    const REAL *joins;                 /* per mode κ of those: cos, -sin of 2π c κ / (8 length) */
    const long *places;                /* where the passes leave mode κ */
} NAME(transform);

/* scratch: point c + 8 m at c * STRIDE(length) + m; the odd distance spares the cache's sets */
#define STRIDE(length) ((length) + 1)

static void NAME(last_pass8)(FIELD *x, long size, int back)
{
    for (FIELD *end = x + size; x < end; x += 8) {
        VEC re[8], im[8];
        for (int k = 0; k < 8; k++) re[k] = x[k].re, im[k] = x[k].im;
        if (back) NAME(dft8)(im, re);
        else NAME(dft8)(re, im);
        for (int k = 0; k < 8; k++) x[k].re = re[k], x[k].im = im[k];
    }
}

/* Passes from the given level inwards, or back. */
static void NAME(short_forward)(const NAME(transform) *t, FIELD *x, long first_level)
{
    long size = t->length;
    for (long level = 0; level < t->num_levels; size /= t->radices[level++]) {
        if (level < first_level) continue;
        if (size == 8) NAME(last_pass8)(x, t->length, 0);
        else
            for (FIELD *y = x; y < x + t->length; y += size)
                NAME(outer_forward)(t->radices[level], y, y, size, t->twiddles[level]);
    }
}

static void NAME(short_backward)(const NAME(transform) *t, FIELD *x, long first_level)
{
    long size = 1;
    for (long level = t->num_levels - 1; level >= first_level; level--) {
        size *= t->radices[level];
        if (size == 8) NAME(last_pass8)(x, t->length, 1);
        else
            for (FIELD *y = x; y < x + t->length; y += size)
                NAME(outer_backward)(t->radices[level], y, y, size, t->twiddles[level]);
    }
}

/* Butterflies over c at mode κ: out comes, or goes in, mode κ + length c at index c. */
INLINE void NAME(join)(const NAME(transform) *t, long kappa, const FIELD *x, VEC *re, VEC *im)
{
    x += t->places[kappa];
    for (int c = 0; c < 8; c++)
        re[c] = x[c * STRIDE(t->length)].re, im[c] = x[c * STRIDE(t->length)].im;
    NAME(twiddle)(8, re, im, t->joins + 14 * kappa);
    NAME(dft8)(re, im);
}

INLINE void NAME(part)(const NAME(transform) *t, long kappa, FIELD *x, VEC *re, VEC *im)
{
    x += t->places[kappa];
    NAME(backward)(8, re, im);
    NAME(untwiddle)(8, re, im, t->joins + 14 * kappa);
    for (int c = 0; c < 8; c++)
        x[c * STRIDE(t->length)].re = re[c], x[c * STRIDE(t->length)].im = im[c];
}

#include "four_step_columns.h"
#include "four_step_rows.h"

#undef STRIDE
