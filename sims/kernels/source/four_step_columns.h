/* The pass of four_step.h over columns of the field: backward, square, forward. Included there. */

/* The real transform of N1 = 2 M points is that of the M complex z[n] = u[2n] + i u[2n+1]: with
 * E = Z[k] + conj Z[M-k] and iO = Z[k] - conj Z[M-k], 2 û[k] = E + w^k O and
 * 2 û[M-k] = conj(E - w^k O), w = exp(-2πi / N1). The factors exp(-2πi k1 n2 / N) of the four steps
 * are S V: S for the first column of a tile and V for those beside it, at k1 ≤ M/2; that of M-k is
 * the one of M times the conjugate of the one of k. */
typedef struct {
    NAME(transform) transform;
    long num_points;       /* N1 */
    const REAL *halves;    /* w^k for k = 0..M/2: cos, -sin */
    const REAL *firsts;    /* S, per own tile and k = 0..M/2: cos, -sin */
    const REAL *beside;    /* V, per k = 0..M/2: TILE cos, TILE -sin */
    const REAL *highest;   /* the factor of k1 = M, per own tile: TILE cos, TILE -sin */
    REAL *const *tiles;    /* per TILE modes: those at the first own columns ... */
    const long *distances; /* ... and numbers from there to the next TILE columns */
    long num_tiles;        /* TILE columns each */
    FIELD *scratch;
    REAL **rows;           /* room for one address per TILE modes */
} NAME(columns);

typedef struct {
    const NAME(columns) *s;
    const REAL *firsts;
    VEC highest_re, highest_im;
    long lane; /* first column in the tile */
} NAME(block);

INLINE REAL *NAME(row)(const NAME(block) *b, long k)
{
    return b->s->rows[k / TILE] + k % TILE * 2 * TILE + b->lane;
}

INLINE void NAME(factor)(const NAME(block) *b, long k, VEC *re, VEC *im)
{
    const VEC c = ALL(b->firsts[2 * k]), s = ALL(b->firsts[2 * k + 1]);
    const REAL *beside = b->s->beside + k * 2 * TILE + b->lane;
    const VEC vr = NAME(load)(beside), vi = NAME(load)(beside + TILE);
    *re = c * vr - s * vi, *im = c * vi + s * vr;
}

/* û[k] and û[M-k] of the tiles → 2 Z[k] and 2 Z[M-k], and the reverse. */
INLINE void NAME(merge)(const NAME(block) *b, long k, VEC *re, VEC *im, VEC *mirror_re,
                        VEC *mirror_im)
{
    const REAL *g = NAME(row)(b, k), *h = NAME(row)(b, b->s->num_points / 2 - k);
    const VEC gr = NAME(load)(g), gi = NAME(load)(g + TILE);
    const VEC hr = NAME(load)(h), hi = NAME(load)(h + TILE);
    VEC tr, ti;
    NAME(factor)(b, k, &tr, &ti);
    const VEC pr = b->highest_re * hr + b->highest_im * hi;
    const VEC pi = b->highest_im * hr - b->highest_re * hi;
    const VEC sr = gr + pr, si = gi + pi, dr = gr - pr, di = gi - pi;
    const VEC er = tr * sr + ti * si, ei = tr * si - ti * sr;
    const VEC xr = tr * dr + ti * di, xi = tr * di - ti * dr;
    const VEC wr = ALL(b->s->halves[2 * k]), wi = ALL(b->s->halves[2 * k + 1]);
    const VEC or = wr * xr + wi * xi, oi = wr * xi - wi * xr;
    *re = er - oi, *im = ei + or;
    *mirror_re = er + oi, *mirror_im = or - ei;
}

INLINE void NAME(split)(const NAME(block) *b, long k, VEC re, VEC im, VEC mirror_re, VEC mirror_im)
{
    REAL *g = NAME(row)(b, k), *h = NAME(row)(b, b->s->num_points / 2 - k);
    const VEC er = re + mirror_re, ei = im - mirror_im;
    const VEC or = im + mirror_im, oi = mirror_re - re;
    const VEC wr = ALL(b->s->halves[2 * k]), wi = ALL(b->s->halves[2 * k + 1]);
    const VEC xr = wr * or - wi * oi, xi = wr * oi + wi * or;
    const VEC sr = er + xr, si = ei + xi, dr = er - xr, di = ei - xi;
    VEC tr, ti;
    NAME(factor)(b, k, &tr, &ti);
    const VEC qr = tr * dr - ti * di, qi = tr * di + ti * dr;
    NAME(store)(g, tr * sr - ti * si), NAME(store)(g + TILE, tr * si + ti * sr);
    NAME(store)(h, b->highest_re * qr + b->highest_im * qi);
    NAME(store)(h + TILE, b->highest_im * qr - b->highest_re * qi);
}

/* The same where k = 0: û[0] and û[M] are real. */
INLINE void NAME(merge_ends)(const NAME(block) *b, VEC *re, VEC *im)
{
    const REAL *g = NAME(row)(b, 0), *h = NAME(row)(b, b->s->num_points / 2);
    const VEC low = NAME(load)(g);
    const VEC high = b->highest_re * NAME(load)(h) + b->highest_im * NAME(load)(h + TILE);
    *re = low + high, *im = low - high;
}

INLINE void NAME(split_ends)(const NAME(block) *b, VEC re, VEC im)
{
    REAL *g = NAME(row)(b, 0), *h = NAME(row)(b, b->s->num_points / 2);
    const VEC two = ALL(2), high = two * (re - im);
    NAME(store)(g, two * (re + im)), NAME(store)(g + TILE, ALL(0));
    NAME(store)(h, b->highest_re * high), NAME(store)(h + TILE, b->highest_im * high);
}

/* Modes κ + length c and their mirrors: in the butterfly of length - κ, or in their own. */
static void NAME(from_modes)(const NAME(block) *b)
{
    const NAME(transform) *t = &b->s->transform;
    const long length = t->length;
    VEC re[8], im[8], mirror_re[8], mirror_im[8];
    NAME(merge_ends)(b, &re[0], &im[0]);
    for (int c = 1; c < 5; c++)
        NAME(merge)(b, length * c, &re[c], &im[c], &re[8 - c], &im[8 - c]);
    NAME(part)(t, 0, b->s->scratch, re, im);
    for (int c = 0; c < 4; c++)
        NAME(merge)(b, length / 2 + length * c, &re[c], &im[c], &re[7 - c], &im[7 - c]);
    NAME(part)(t, length / 2, b->s->scratch, re, im);
    for (long kappa = 1; kappa < length / 2; kappa++) {
        UNROLL for (int c = 0; c < 4; c++)
        {
            NAME(merge)(b, kappa + length * c, &re[c], &im[c], &mirror_re[7 - c],
                        &mirror_im[7 - c]);
            NAME(merge)(b, length - kappa + length * c, &mirror_re[c], &mirror_im[c], &re[7 - c],
                        &im[7 - c]);
        }
        NAME(part)(t, kappa, b->s->scratch, re, im);
        NAME(part)(t, length - kappa, b->s->scratch, mirror_re, mirror_im);
    }
}

static void NAME(to_modes)(const NAME(block) *b)
{
    const NAME(transform) *t = &b->s->transform;
    const long length = t->length;
    VEC re[8], im[8], mirror_re[8], mirror_im[8];
    NAME(join)(t, 0, b->s->scratch, re, im);
    NAME(split_ends)(b, re[0], im[0]);
    for (int c = 1; c < 5; c++)
        NAME(split)(b, length * c, re[c], im[c], re[8 - c], im[8 - c]);
    NAME(join)(t, length / 2, b->s->scratch, re, im);
    for (int c = 0; c < 4; c++)
        NAME(split)(b, length / 2 + length * c, re[c], im[c], re[7 - c], im[7 - c]);
    for (long kappa = 1; kappa < length / 2; kappa++) {
        NAME(join)(t, kappa, b->s->scratch, re, im);
        NAME(join)(t, length - kappa, b->s->scratch, mirror_re, mirror_im);
        UNROLL for (int c = 0; c < 4; c++)
        {
            NAME(split)(b, kappa + length * c, re[c], im[c], mirror_re[7 - c], mirror_im[7 - c]);
            NAME(split)(b, length - kappa + length * c, mirror_re[c], mirror_im[c], re[7 - c],
                        im[7 - c]);
        }
    }
}

enum { COLUMNS_SQUARE, COLUMNS_TAKE, COLUMNS_GIVE };

/* One pass over the own columns. COLUMNS_SQUARE replaces the field by its square; COLUMNS_TAKE
 * reads it from, and COLUMNS_GIVE writes it to, values: (n1, own n2). */
EXPORT void NAME(field_columns)(const NAME(columns) *s, int kind, REAL *values)
{
    const NAME(transform) *t = &s->transform;
    const long length = t->length, M = s->num_points / 2, width = TILE * s->num_tiles;
    for (long tile = 0; tile < s->num_tiles; tile++) {
        for (long k = 0; k <= M; k += TILE)
            s->rows[k / TILE] = s->tiles[k / TILE] + tile * s->distances[k / TILE];
        for (long lane = 0; lane < TILE; lane += LANES) {
            const REAL *highest = s->highest + 2 * TILE * tile + lane;
            const NAME(block) b = {s, s->firsts + tile * (M + 2), NAME(load)(highest),
                                   NAME(load)(highest + TILE), lane};
            REAL *points = values + TILE * tile + lane;
            if (kind != COLUMNS_TAKE) NAME(from_modes)(&b);
            for (long c = 0; c < 8; c++) {
                FIELD *x = s->scratch + c * STRIDE(length);
                if (kind == COLUMNS_SQUARE) {
                    NAME(short_backward)(t, x, 1);
                    NAME(outer_square)(t->radices[0], x, length, t->twiddles[0]);
                    NAME(short_forward)(t, x, 1);
                } else if (kind == COLUMNS_TAKE) {
                    for (long m = 0; m < length; m++) {
                        const REAL *from = points + 2 * (c + 8 * m) * width;
                        x[m].re = NAME(load)(from), x[m].im = NAME(load)(from + width);
                    }
                    NAME(short_forward)(t, x, 0);
                } else {
                    NAME(short_backward)(t, x, 0);
                    for (long m = 0; m < length; m++) {
                        REAL *to = points + 2 * (c + 8 * m) * width;
                        NAME(store)(to, x[m].re), NAME(store)(to + width, x[m].im);
                    }
                }
            }
            if (kind != COLUMNS_GIVE) NAME(to_modes)(&b);
        }
    }
}
