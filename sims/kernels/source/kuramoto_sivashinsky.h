/* Kuramoto-Sivashinsky, u_t = -u u_x - u_xx - u_xxxx, by exponential integrators in Fourier space.
 *
 * Included once per arithmetic type, after transform.h. Two real trajectories are packed in one
 * complex field z = u1 + i u2. Every operator here is real in physical space, so the spectrum of z
 * is treated as a whole: one complex transform serves both, and the nonlinear term of both is
 * N = g i W, with W the transform of u1² + i u2² and g = -q/2 / num_points.
 *
 * A nonlinear evaluation is one outermost pass (backward, square, forward, in registers), the
 * inner passes, and the innermost butterflies of 8 contiguous points with the update of the
 * spectrum between the forward and the backward one. The work field stays "halfway": backward
 * transformed but for the outermost pass. Which update is done depends on the stage.
 */
typedef struct {
    FIELD *work, *v, *a, *b, *past[3]; /* past: W of the last three steps, the latest first */
    const REAL *coefficients;          /* of the present update, per mode in stored order */
    const REAL *const *twiddles;       /* per level of passes, outermost first */
} NAME(state);


INLINE void NAME(update)(int kind, NAME(state) *s, long position)
{
    VEC re[8], im[8];
    FIELD *work = s->work + position;
    for (int k = 0; k < 8; k++) re[k] = work[k].re, im[k] = work[k].im;
    NAME(dft8)(re, im);
    for (int k = 0; k < 8; k++) {
        const long p = position + k;
        const VEC wr = re[k], wi = im[k];
        VEC zr, zi;
        FIELD *v = s->v + p;
        if (kind == LOAD) {
            const VEC scale = ALL(s->coefficients[0]);
            zr = scale * wr, zi = scale * wi;
            v->re = zr, v->im = zi;
        } else if (kind == ETDRK4_A || kind == ETDRK4_A_RECORD || kind == ETDRK4_B) {
            const REAL *c = s->coefficients + 2 * p;
            const VEC e = ALL(c[0]), f = ALL(c[1]);
            zr = e * v->re - f * wi, zi = e * v->im + f * wr;
            FIELD *stage = (kind == ETDRK4_B ? s->b : s->a) + p;
            stage->re = zr, stage->im = zi;
            if (kind == ETDRK4_A_RECORD) s->past[2][p].re = wr, s->past[2][p].im = wi;
        } else if (kind == ETDRK4_C) {
            /* c = (e - 1) a + e v + 2 f i W; then v collects all of the new v but its last term */
            const REAL *c = s->coefficients + 7 * p;
            const VEC ar = s->a[p].re, ai = s->a[p].im, br = s->b[p].re, bi = s->b[p].im;
            const VEC ca = ALL(c[0]), cv = ALL(c[1]), f = ALL(c[2]);
            zr = ca * ar + (cv * v->re - f * wi), zi = ca * ai + (cv * v->im + f * wr);
            const VEC nv = ALL(c[3]), na = ALL(c[4]), nb = ALL(c[5]), nc = ALL(c[6]);
            v->re = nv * v->re + (na * ar + (nb * br + nc * zr));
            v->im = nv * v->im + (na * ai + (nb * bi + nc * zi));
        } else if (kind == ETDRK4_D || kind == PECE_CORRECT) {
            const VEC f = ALL(s->coefficients[p]);
            zr = v->re - f * wi, zi = v->im + f * wr;
            v->re = zr, v->im = zi;
        } else { /* AB4: e v + Σ f_j i W_j;  PECE_PREDICT: v also keeps the known corrector terms */
            const int num = kind == AB4 ? 5 : 9;
            const REAL *c = s->coefficients + num * p;
            const VEC w1r = s->past[0][p].re, w1i = s->past[0][p].im;
            const VEC w2r = s->past[1][p].re, w2i = s->past[1][p].im;
            const VEC w3r = s->past[2][p].re, w3i = s->past[2][p].im;
            s->past[2][p].re = wr, s->past[2][p].im = wi;
            const VEC evr = ALL(c[0]) * v->re, evi = ALL(c[0]) * v->im;
            zr = evr - ALL(c[1]) * wi - ALL(c[2]) * w1i - ALL(c[3]) * w2i - ALL(c[4]) * w3i;
            zi = evi + ALL(c[1]) * wr + ALL(c[2]) * w1r + ALL(c[3]) * w2r + ALL(c[4]) * w3r;
            if (kind == AB4) {
                v->re = zr, v->im = zi;
            } else {
                v->re = evr - ALL(c[5]) * wi - ALL(c[6]) * w1i - ALL(c[7]) * w2i - ALL(c[8]) * w3i;
                v->im = evi + ALL(c[5]) * wr + ALL(c[6]) * w1r + ALL(c[7]) * w2r + ALL(c[8]) * w3r;
            }
        }
        re[k] = zr, im[k] = zi;
    }
    NAME(backward)(8, re, im);
    for (int k = 0; k < 8; k++) work[k].re = re[k], work[k].im = im[k];
}

#define DEFINE_UPDATE(kind)                                                                       \
    static void NAME(update_##kind)(NAME(state) * s, long position, long count)                   \
    {                                                                                             \
        for (long k = 0; k < count; k += 8) NAME(update)(kind, s, position + k);                  \
    }
DEFINE_UPDATE(LOAD)
DEFINE_UPDATE(ETDRK4_A)
DEFINE_UPDATE(ETDRK4_A_RECORD)
DEFINE_UPDATE(ETDRK4_B)
DEFINE_UPDATE(ETDRK4_C)
DEFINE_UPDATE(ETDRK4_D)
DEFINE_UPDATE(AB4)
DEFINE_UPDATE(PECE_PREDICT)
DEFINE_UPDATE(PECE_CORRECT)

/* The passes inside the outermost one, depth first so that a block of 64 stays in the L1 cache. */
static void NAME(inner)(void (*update)(NAME(state) *, long, long), NAME(state) *s, long position,
                        long size, long level)
{
    FIELD *work = s->work + position;
    if (size == 8) {
        update(s, position, 8);
        return;
    }
    NAME(forward_pass8)(work, work, size, s->twiddles[level]);
    if (size == 64) update(s, position, 64);
    else
        for (long k = 0; k < 8; k++)
            NAME(inner)(update, s, position + k * (size / 8), size / 8, level + 1);
    NAME(backward_pass8)(work, work, size, s->twiddles[level]);
}

static void NAME(all_inner)(void (*update)(NAME(state) *, long, long), NAME(state) *s,
                            const REAL *coefficients, long num_points, long radix)
{
    s->coefficients = coefficients;
    if (num_points / radix == 8) update(s, 0, num_points);
    else
        for (long k = 0; k < radix; k++)
            NAME(inner)(update, s, k * (num_points / radix), num_points / radix, 1);
}

#define EVALUATE(kind)                                                                            \
    {                                                                                             \
        NAME(outer_square)(radix, s.work, num_points, twiddles[0]);                               \
        NAME(all_inner)(NAME(update_##kind), &s, coefficients[kind], num_points, radix);          \
    }

/* Advance an ensemble; save every save_every steps (never if that is 0).
 * states: (num_trajectories, num_points), updated. Trajectories 2j and 2j + 1 share a field.
 * coefficients[kind of update]: per mode in digit-reversed order; twiddles[level of passes].
 * The multistep schemes take their first three steps by ETDRK4. */
EXPORT int NAME(kuramoto_sivashinsky_ensemble)(
    REAL *states, long num_trajectories, long num_points, long radix, const REAL *const *twiddles,
    const REAL *const *coefficients, long scheme, long num_steps, long save_every, void *saved,
    int save_as_float, long trajectory_stride, long time_stride)
{
    FIELD *memory = allocate(8 * num_points * sizeof(FIELD));
    if (!memory) return OUT_OF_MEMORY;
    const long saved_bytes = save_as_float ? sizeof(float) : sizeof(REAL);
    FIELD *physical = memory + 7 * num_points;
    const long row = 2 * num_points, width = 2 * LANES;
    for (long first = 0; first < num_trajectories; first += width) {
        const long members = num_trajectories - first < width ? num_trajectories - first : width;
        const long rows_re = (members + 1) / 2, rows_im = members / 2;
        REAL *block = states + first * num_points;
        NAME(state) s = {memory, memory + num_points, memory + 2 * num_points,
                         memory + 3 * num_points,
                         {memory + 4 * num_points, memory + 5 * num_points,
                          memory + 6 * num_points},
                         NULL, twiddles};
        NAME(load_rows)(&physical->re, 2, num_points, block, row, rows_re);
        NAME(load_rows)(&physical->im, 2, num_points, block + num_points, row, rows_im);
        NAME(outer_forward)(radix, physical, s.work, num_points, twiddles[0]);
        NAME(all_inner)(NAME(update_LOAD), &s, coefficients[LOAD], num_points, radix);
        char *out = (char *)saved + first * trajectory_stride * saved_bytes;
        for (long n = 0; n < num_steps; n++) {
            if (scheme == SCHEME_ETDRK4 || n < 3) {
                if (scheme == SCHEME_ETDRK4) EVALUATE(ETDRK4_A)
                else EVALUATE(ETDRK4_A_RECORD)
                EVALUATE(ETDRK4_B)
                EVALUATE(ETDRK4_C)
                EVALUATE(ETDRK4_D)
            } else if (scheme == SCHEME_ETDAB4) {
                EVALUATE(AB4)
            } else {
                EVALUATE(PECE_PREDICT)
                EVALUATE(PECE_CORRECT)
            }
            if (scheme != SCHEME_ETDRK4) { /* the newest W went where the oldest was */
                FIELD *newest = s.past[2];
                s.past[2] = s.past[1], s.past[1] = s.past[0], s.past[0] = newest;
            }
            if (save_every && (n + 1) % save_every == 0) {
                NAME(outer_backward)(radix, s.work, physical, num_points, twiddles[0]);
                NAME(save_rows)(&physical->re, 2, num_points, out, save_as_float,
                                2 * trajectory_stride, rows_re);
                NAME(save_rows)(&physical->im, 2, num_points, out + trajectory_stride * saved_bytes,
                                save_as_float, 2 * trajectory_stride, rows_im);
                out += time_stride * saved_bytes;
            }
        }
        NAME(outer_backward)(radix, s.work, physical, num_points, twiddles[0]);
        NAME(store_rows)(&physical->re, 2, num_points, block, row, rows_re);
        NAME(store_rows)(&physical->im, 2, num_points, block + num_points, row, rows_im);
    }
    free(memory);
    return 0;
}

#undef EVALUATE
#undef DEFINE_UPDATE
