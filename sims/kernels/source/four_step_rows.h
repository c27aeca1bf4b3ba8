/* The pass of four_step.h over rows of the spectrum: forward, update, backward. Included there. */

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
