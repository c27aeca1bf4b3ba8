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

/* ---------------------------------------------------------------------------------- columns */

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

/* ------------------------------------------------------------------------------------- rows */

/* Fields and coefficients: per LANES rows, κ and c, the mode k2 = κ + length c. */
typedef struct {
    NAME(transform) transform;
    REAL *const *tiles; /* per TILE columns, that of the first own rows; the next rows follow */
    long num_tiles;     /* TILE rows each */
    FIELD *v, *w;       /* û / N, and what later stages need */
    const VEC *half, *q, *beta, *gamma; /* e^{z/2}, and Q, β, γ times h g */
    REAL scale;                         /* from a transformed field to v */
    FIELD *scratch;
} NAME(rows);

/* With W the transform of u² and N = i g W, a stage finds:
 *
 *     A   a = e v + h Q N(v)                      w = W
 *     B   b = e v + h Q N(a)                      v = e² v + h α N(v) + 2 h β N(a)
 *                                                 w = e² v + (e - 1) h Q N(v)
 *     C   c = w + 2 h Q N(b)                      v = v + 2 h β N(b)
 *     D   v = v + h γ N(c)
 *
 * so two fields hold all there is to remember. α = Q (e + 1) - 4 β - γ, since the weights of a
 * constant N add up to φ_1(z) = (e² - 1) / z. */
enum { ROWS_TAKE, ROWS_A, ROWS_B, ROWS_C, ROWS_D };

INLINE void NAME(stage)(int kind, const NAME(rows) *s, long p, VEC *re, VEC *im)
{
    const VEC wr = *re, wi = *im;
    FIELD *v = s->v + p, *w = s->w + p;
    if (kind == ROWS_TAKE) {
        *re = v->re = ALL(s->scale) * wr, *im = v->im = ALL(s->scale) * wi;
    } else if (kind == ROWS_A) {
        const VEC e = s->half[p], q = s->q[p];
        *re = e * v->re - q * wi, *im = e * v->im + q * wr;
        w->re = wr, w->im = wi;
    } else if (kind == ROWS_B) {
        const VEC e = s->half[p], q = s->q[p], beta = s->beta[p], two_beta = beta + beta;
        const VEC alpha = q * (e + ALL(1)) - (two_beta + two_beta + s->gamma[p]);
        const VEC vr = e * v->re, vi = e * v->im, ur = w->re, ui = w->im;
        *re = vr - q * wi, *im = vi + q * wr;
        const VEC eq = e * q - q;
        w->re = e * vr - eq * ui, w->im = e * vi + eq * ur;
        v->re = e * vr - alpha * ui - two_beta * wi, v->im = e * vi + alpha * ur + two_beta * wr;
    } else if (kind == ROWS_C) {
        const VEC two = ALL(2), q = two * s->q[p], beta = two * s->beta[p];
        *re = w->re - q * wi, *im = w->im + q * wr;
        v->re -= beta * wi, v->im += beta * wr;
    } else {
        const VEC gamma = s->gamma[p];
        *re = v->re - gamma * wi, *im = v->im + gamma * wr;
        v->re = *re, v->im = *im;
    }
}

#define DEFINE_STAGE(kind)                                                                        \
    static void NAME(stage_##kind)(const NAME(rows) * s, long first)                              \
    {                                                                                             \
        for (long kappa = 0; kappa < s->transform.length; kappa++, first += 8) {                  \
            VEC re[8], im[8];                                                                     \
            NAME(join)(&s->transform, kappa, s->scratch, re, im);                                 \
            UNROLL for (int c = 0; c < 8; c++)                                                    \
                NAME(stage)(kind, s, first + c, &re[c], &im[c]);                                  \
            NAME(part)(&s->transform, kappa, s->scratch, re, im);                                 \
        }                                                                                         \
    }
DEFINE_STAGE(ROWS_TAKE)
DEFINE_STAGE(ROWS_A)
DEFINE_STAGE(ROWS_B)
DEFINE_STAGE(ROWS_C)
DEFINE_STAGE(ROWS_D)
#undef DEFINE_STAGE

/* LANES rows of a tile ↔ points 8 m .. 8 m + 7 of as many lanes. */
INLINE void NAME(gather)(const REAL *tile, FIELD *x, long stride)
{
    for (long c = 0; c < TILE; c += LANES) {
        VEC re[LANES], im[LANES];
        UNROLL for (long l = 0; l < LANES; l++)
        {
            re[l] = NAME(load)(tile + l * 2 * TILE + c);
            im[l] = NAME(load)(tile + l * 2 * TILE + TILE + c);
        }
        NAME(transpose)(re);
        NAME(transpose)(im);
        UNROLL for (long l = 0; l < LANES; l++)
            x[(c + l) * stride].re = re[l], x[(c + l) * stride].im = im[l];
    }
}

INLINE void NAME(scatter)(REAL *tile, const FIELD *x, long stride)
{
    for (long c = 0; c < TILE; c += LANES) {
        VEC re[LANES], im[LANES];
        UNROLL for (long l = 0; l < LANES; l++)
            re[l] = x[(c + l) * stride].re, im[l] = x[(c + l) * stride].im;
        NAME(transpose)(re);
        NAME(transpose)(im);
        UNROLL for (long l = 0; l < LANES; l++)
        {
            NAME(store)(tile + l * 2 * TILE + c, re[l]);
            NAME(store)(tile + l * 2 * TILE + TILE + c, im[l]);
        }
    }
}

/* One pass over the own rows: forward, a stage, backward; from the last row where that is asked,
 * to find in the cache what the pass before has left there. */
EXPORT void NAME(field_rows)(const NAME(rows) *s, int kind, int downwards)
{
    static void (*const stages[])(const NAME(rows) *, long) = {
        NAME(stage_ROWS_TAKE), NAME(stage_ROWS_A), NAME(stage_ROWS_B), NAME(stage_ROWS_C),
        NAME(stage_ROWS_D)};
    const NAME(transform) *t = &s->transform;
    const long length = t->length, stride = STRIDE(length), blocks = TILE / LANES * s->num_tiles;
    for (long n = 0; n < blocks; n++) {
        const long block = downwards ? blocks - 1 - n : n;
        const long offset = block * LANES * 2 * TILE;
        for (long m = 0; m < length; m++) NAME(gather)(s->tiles[m] + offset, s->scratch + m, stride);
        for (long c = 0; c < 8; c++) NAME(short_forward)(t, s->scratch + c * stride, 0);
        stages[kind](s, block * 8 * length);
        for (long c = 0; c < 8; c++) NAME(short_backward)(t, s->scratch + c * stride, 0);
        for (long m = 0; m < length; m++)
            NAME(scatter)(s->tiles[m] + offset, s->scratch + m, stride);
    }
}

#undef STRIDE
