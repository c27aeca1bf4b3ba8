/* Lorenz-96 by the classical Runge-Kutta scheme: dx_i/dt = (x_{i+1} - x_{i-2}) x_{i-1} - x_i + F.
 *
 * Included once per arithmetic type, after vectors.h. With y2, y3, y4 the arguments of the last
 * three stages, the step needs no accumulator over the slopes k:
 *
 *     x_new = (-x + y2 + 2 y3 + y4 + (h/2) k4) / 3
 *
 * A step is two sweeps over the sites, each with two stages behind one another, so that a stage
 * hands its values over in registers: y2, y3 in the first, y4, x_new in the second. The windows
 * of four neighbours rotate by name through an unrolled loop: no register is ever copied.
 */
#define SLOPE(x0, x1, x2, x3) (((x3) - (x0)) * (x1) + (forcing - (x2)))

/* In: X0..X2 = x[i-1..i+1], Y0..Y2 = y2[i-2..i].  partial = -x + y2 + 2 y3. */
#define FIRST_HALF(i, X0, X1, X2, X3, Y0, Y1, Y2, Y3)                                             \
    {                                                                                             \
        X3 = x[(i) + 2];                                                                          \
        Y3 = X2 + half * SLOPE(X0, X1, X2, X3);                                                   \
        const VEC third_argument = X1 + half * SLOPE(Y0, Y1, Y2, Y3);                             \
        y3[i] = third_argument;                                                                   \
        partial[i] = (Y2 - X1) + two * third_argument;                                            \
    }

/* In: X0..X2 = y3[i-1..i+1], Y0..Y2 = y4[i-2..i]. */
#define SECOND_HALF(i, X0, X1, X2, X3, Y0, Y1, Y2, Y3)                                            \
    {                                                                                             \
        X3 = y3[(i) + 2];                                                                         \
        Y3 = x[(i) + 1] + full * SLOPE(X0, X1, X2, X3);                                           \
        x[i] = third * ((Y2 + partial[i]) + half * SLOPE(Y0, Y1, Y2, Y3));                        \
    }

#define SWEEP(HALF, first, last)                                                                  \
    {                                                                                             \
        long i = (first);                                                                         \
        for (; i + 4 <= (last); i += 4) {                                                         \
            HALF(i, X0, X1, X2, X3, Y0, Y1, Y2, Y3)                                               \
            HALF(i + 1, X1, X2, X3, X0, Y1, Y2, Y3, Y0)                                           \
            HALF(i + 2, X2, X3, X0, X1, Y2, Y3, Y0, Y1)                                           \
            HALF(i + 3, X3, X0, X1, X2, Y3, Y0, Y1, Y2)                                           \
        }                                                                                         \
        for (; i < (last); i++) {                                                                 \
            HALF(i, X0, X1, X2, X3, Y0, Y1, Y2, Y3)                                               \
            X0 = X1, X1 = X2, X2 = X3, Y0 = Y1, Y1 = Y2, Y2 = Y3;                                 \
        }                                                                                         \
    }

/* y3 and partial at first..last-1, from x at first-4..last+1. */
INLINE void NAME(first_sweep)(const VEC *x, VEC *y3, VEC *partial, long first, long last,
                              VEC forcing, VEC half)
{
    const VEC two = ALL(2), *z = x + first;
    VEC X0 = z[-1], X1 = z[0], X2 = z[1], X3;
    VEC Y0 = z[-2] + half * SLOPE(z[-4], z[-3], z[-2], z[-1]);
    VEC Y1 = z[-1] + half * SLOPE(z[-3], z[-2], z[-1], z[0]);
    VEC Y2 = z[0] + half * SLOPE(z[-2], z[-1], z[0], z[1]), Y3;
    SWEEP(FIRST_HALF, first, last)
}

/* x_new at 0..length-1, in place, from y3 at -4..length+1 and x at -2..length. */
INLINE void NAME(second_sweep)(VEC *x, const VEC *y3, const VEC *partial, long length,
                               VEC forcing, VEC half, VEC full)
{
    const VEC third = ALL((REAL)1 / 3), *z = y3;
    VEC X0 = z[-1], X1 = z[0], X2 = z[1], X3;
    VEC Y0 = x[-2] + full * SLOPE(z[-4], z[-3], z[-2], z[-1]);
    VEC Y1 = x[-1] + full * SLOPE(z[-3], z[-2], z[-1], z[0]);
    VEC Y2 = x[0] + full * SLOPE(z[-2], z[-1], z[0], z[1]), Y3;
    SWEEP(SECOND_HALF, 0, length)
}

/* LANES periodic trajectories: x[-4..length+1], y3 the same, partial[0..length-1]. */
static void NAME(advance_periodic)(VEC *x, VEC *y3, VEC *partial, long length, long num_steps,
                                   REAL forcing_value, REAL step)
{
    const VEC forcing = ALL(forcing_value), half = ALL(step / 2), full = ALL(step);
    for (long n = 0; n < num_steps; n++) {
        for (long i = 1; i <= 4; i++) x[-i] = x[length - i];
        x[length] = x[0], x[length + 1] = x[1];
        NAME(first_sweep)(x, y3, partial, 0, length, forcing, half);
        for (long i = 1; i <= 4; i++) y3[-i] = y3[length - i];
        y3[length] = y3[0], y3[length + 1] = y3[1];
        NAME(second_sweep)(x, y3, partial, length, forcing, half, full);
    }
}

/* The last lane's values move to the first: the end of each lane's segment is the beginning of
 * the next lane's. What the first lane gets does not matter (see advance_ring). */
INLINE VEC NAME(from_previous_lane)(VEC value)
{
    VEC moved;
    for (long l = 0; l < LANES; l++) moved[l] = value[l ? l - 1 : LANES - 1];
    return moved;
}

INLINE VEC NAME(from_next_lane)(VEC value)
{
    VEC moved;
    for (long l = 0; l < LANES; l++) moved[l] = value[l < LANES - 1 ? l + 1 : 0];
    return moved;
}

/* One segment of a ring folded into lanes: lane l holds the length points from l * length on. */
static void NAME(advance_folded)(VEC *x, VEC *y3, VEC *partial, long length, long num_steps,
                                 REAL forcing_value, REAL step)
{
    const VEC forcing = ALL(forcing_value), half = ALL(step / 2), full = ALL(step);
    for (long n = 0; n < num_steps; n++) {
        for (long i = 1; i <= 8; i++) x[-i] = NAME(from_previous_lane)(x[length - i]);
        for (long i = 0; i < 4; i++) x[length + i] = NAME(from_next_lane)(x[i]);
        NAME(first_sweep)(x, y3, partial, -4, length + 2, forcing, half);
        NAME(second_sweep)(x, y3, partial, length, forcing, half, full);
    }
}

/* Advance an ensemble of periodic rings; save every save_every steps (never if that is 0).
 * states: (num_trajectories, num_sites), updated. Sample s of trajectory m goes to
 * saved + m * trajectory_stride + s * time_stride (strides in elements). */
EXPORT int NAME(lorenz96_ensemble)(REAL *states, long num_trajectories, long num_sites,
                                   double forcing, double step, long num_steps, long save_every,
                                   void *saved, int save_as_float, long trajectory_stride,
                                   long time_stride)
{
    const long padded = num_sites + 8;
    VEC *memory = allocate(3 * padded * sizeof(VEC));
    if (!memory) return OUT_OF_MEMORY;
    VEC *x = memory + 4, *y3 = x + padded, *partial = y3 + padded;
    const long saved_bytes = save_as_float ? sizeof(float) : sizeof(REAL);
    for (long first = 0; first < num_trajectories; first += LANES) {
        const long rows = num_trajectories - first < LANES ? num_trajectories - first : LANES;
        NAME(load_rows)(x, 1, num_sites, states + first * num_sites, num_sites, rows);
        char *out = (char *)saved + first * trajectory_stride * saved_bytes;
        for (long done = 0; done < num_steps;) {
            const long left = num_steps - done;
            const long count = save_every && save_every < left ? save_every : left;
            NAME(advance_periodic)(x, y3, partial, num_sites, count, forcing, step);
            done += count;
            if (save_every && count == save_every) {
                NAME(save_rows)(x, 1, num_sites, out, save_as_float, trajectory_stride, rows);
                out += time_stride * saved_bytes;
            }
        }
        NAME(store_rows)(x, 1, num_sites, states + first * num_sites, num_sites, rows);
    }
    free(memory);
    return 0;
}

/* Fold a block of a ring into lanes; beyond the array's end the lanes get zeros. */
static void NAME(fold)(VEC *x, const REAL *points, long available, long length, REAL *unfolded)
{
    if (available < length * LANES) {
        memset(unfolded, 0, length * LANES * sizeof(REAL));
        memcpy(unfolded, points, available * sizeof(REAL));
        points = unfolded;
    }
    NAME(load_rows)(x, 1, length, points, length, LANES);
}

/* Advance num_points points of a ring by num_steps, in place and in one pass over memory.
 *
 * points[0 .. 8 s + num_points + 4 s - 1] with s = num_steps: a step reaches 8 points to the left
 * and 4 to the right, so the outer 8 s and 4 s points are a halo which is read, not advanced.
 * Blocks small enough for the cache are folded into lanes and advanced all s steps. Each block
 * carries its own halo, in which wrong values creep inwards by 8 and 4 points per step; the next
 * block is read before the present one is written back, as their halos overlap. */
EXPORT int NAME(lorenz96_ring_advance)(REAL *points, long num_points, double forcing, double step,
                                       long num_steps, long block_length)
{
    const long left = 8 * num_steps, right = 4 * num_steps, size = block_length * LANES;
    const long end = left + num_points + right, useful = size - left - right;
    const long padded = block_length + 16;
    VEC *memory = allocate((4 * padded + block_length) * sizeof(VEC) + left * sizeof(REAL));
    if (!memory) return OUT_OF_MEMORY;
    VEC *present = memory + 8, *next = present + padded;
    VEC *y3 = next + padded, *partial = y3 + padded;
    REAL *unfolded = (REAL *)(partial + padded - 8), *kept = unfolded + size;
    NAME(fold)(present, points, end, block_length, unfolded);
    for (long start = 0; start < num_points; start += useful) {
        REAL *block = points + start;
        const long following = start + useful;
        if (following < num_points)
            NAME(fold)(next, points + following, end - following, block_length, unfolded);
        NAME(advance_folded)(present, y3, partial, block_length, num_steps, forcing, step);
        if (following < num_points) {
            /* straight into place; the right halo is lost, but the next block has read it */
            memcpy(kept, block, left * sizeof(REAL));
            NAME(store_rows)(present, 1, block_length, block, block_length, LANES);
            memcpy(block, kept, left * sizeof(REAL));
        } else {
            NAME(store_rows)(present, 1, block_length, unfolded, block_length, LANES);
            memcpy(block + left, unfolded + left, (num_points - start) * sizeof(REAL));
        }
        VEC *other = present;
        present = next, next = other;
    }
    free(memory);
    return 0;
}

#undef SLOPE
#undef FIRST_HALF
#undef SECOND_HALF
#undef SWEEP
