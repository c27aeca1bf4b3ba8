/* Lorenz-96 by the classical Runge-Kutta scheme: dx_i/dt = (x_{i+1} - x_{i-2}) x_{i-1} - x_i + F.
 *
 * Included once per arithmetic type, after vectors.h. With y2, y3, y4 the arguments of the last
 * three stages, the step needs no accumulator over the slopes k:
 *
 *     x_new = (-x + y2 + 2 y3 + y4 + (h/2) k4) / 3
 *
 * One sweep over the sites does all four stages, each three sites behind the one before it, so
 * that what a stage needs was finished some iterations ago and no operation waits for another.
 * Five values of every argument are kept in registers, site i in slot i mod 5; the loop is
 * unrolled five times, so no register is ever copied.
 *
 * Steps follow one another without a pause. A stage needs two sites to the left, so it starts two
 * sites after the stage before it, and ends two sites into the next turn of the ring, with what
 * was put aside at its start. While the later stages of a step end, the first ones of the next
 * step begin, eight sites further on: the ring drifts by eight sites per step.
 */
enum { NAME(drift) = 8, NAME(shortest) = 18 };

#define SLOPE(x0, x1, x2, x3) (((x3) - (x0)) * (x1) + (forcing - (x2)))
#define SLOPE_OF(Y, i) SLOPE(Y((i) - 2), Y((i) - 1), Y(i), Y((i) + 1))

typedef struct {
    VEC y2[5], y3[5], y4[5], partial[5]; /* partial = -x + y2 + 2 y3 */
} NAME(stages);

/* Values of this turn of the ring, counted from its start; and of the last turn, counted from its
 * end: those of its first sites were put aside. */
#define SLOT(window, i) (window)[((i) + 20) % 5]
#define Y2(i) SLOT(now.y2, i)
#define Y3(i) SLOT(now.y3, i)
#define Y4(i) SLOT(now.y4, i)
#define PARTIAL(i) SLOT(now.partial, i)
#define LAST_Y2(i) (*((i) >= 0 ? &SLOT(ring->aside.y2, i) : &Y2(i)))
#define LAST_Y3(i) (*((i) >= 2 ? &SLOT(ring->aside.y3, i) : &Y3(i)))
#define LAST_Y4(i) (*((i) >= 4 ? &SLOT(ring->aside.y4, i) : &Y4(i)))
#define LAST_PARTIAL(i) (*((i) >= 2 ? &SLOT(ring->aside.partial, i) : &PARTIAL(i)))

#define STAGE_1(x, i) Y2(i) = x[i] + half * SLOPE(x[(i) - 2], x[(i) - 1], x[i], x[(i) + 1]);
#define STAGE_2(x, i, Y2) Y3(i) = x[i] + half * SLOPE_OF(Y2, i);
#define ADD_UP(x, i, Y2, Y3) PARTIAL(i) = (Y2(i) - x[i]) + two * Y3(i);
#define STAGE_3(x, i, Y3) Y4(i) = x[i] + full * SLOPE_OF(Y3, i);
#define STAGE_4(x, i, Y4, PARTIAL)                                                                \
    x[(i) - NAME(drift)] = third * ((PARTIAL(i) + Y4(i)) + half * SLOPE_OF(Y4, i));

#define ITERATION(x, t)                                                                           \
    {                                                                                             \
        STAGE_4(x, (t) - 9, Y4, PARTIAL)                                                          \
        STAGE_3(x, (t) - 6, Y3)                                                                   \
        ADD_UP(x, (t) - 4, Y2, Y3)                                                                \
        STAGE_2(x, (t) - 3, Y2)                                                                   \
        STAGE_1(x, t)                                                                             \
    }

/* A folded ring's lane ends where the next lane begins. What is beyond the last lane does not
 * matter (see lorenz96_ring_advance), so it may be the first. */
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

#define NEXT_TURN(value) (folded ? NAME(from_next_lane)(value) : (value))

INLINE void NAME(rotate)(VEC *window)
{
    const VEC first = window[0];
    UNROLL for (long k = 0; k < 4; k++) window[k] = window[k + 1];
    window[4] = first;
}

/* A ring under way: x[i], i = -2..length-1, is site i + 8 num_steps. x has room for twice the
 * length and 8 more. */
typedef struct {
    VEC *x;
    long length, num_steps;
    int started;
    NAME(stages) now, aside;
    VEC nothing[24]; /* the turn before the first one */
} NAME(ring);

/* One ring per lane or, if folded, one ring in all: lane l holds its sites from l * length on. */
INLINE void NAME(start)(NAME(ring) *ring, const VEC *sites, int folded)
{
    VEC *x = ring->x;
    memcpy(x, sites, ring->length * sizeof(VEC));
    for (long i = -2; i < 0; i++) {
        const VEC value = x[ring->length + i];
        x[i] = folded ? NAME(from_previous_lane)(value) : value;
    }
    ring->num_steps = ring->started = 0;
}

static void NAME(advance)(NAME(ring) *restrict ring, long num_steps, REAL forcing_value, REAL step,
                          int folded)
{
    const VEC forcing = ALL(forcing_value), half = ALL(step / 2), full = ALL(step);
    const VEC third = ALL((REAL)1 / 3), two = ALL(2);
    const long length = ring->length;
    VEC *restrict x = ring->x;
    NAME(stages) now = ring->now;
    for (long n = ring->started; n <= num_steps; n++) {
        VEC *last = n ? x + length : ring->nothing + 17;
        if (n) {
            for (long i = -2; i < 6; i++) x[length + i] = NEXT_TURN(x[i]);
            VEC *z = x + 15;
            for (; z + 5 <= last; z += 5) {
                OPAQUE(z); /* or the compiler carries x over in registers: there are too few */
                ITERATION(z, 0)
                ITERATION(z, 1)
                ITERATION(z, 2)
                ITERATION(z, 3)
                ITERATION(z, 4)
            }
            for (; z < last; z++) {
                ITERATION(z, 0)
                NAME(rotate)(now.y2), NAME(rotate)(now.y3);
                NAME(rotate)(now.y4), NAME(rotate)(now.partial);
            }
        }
        UNROLL for (long t = 0; t < 15; t++)
        {
            STAGE_4(last, t - 9, LAST_Y4, LAST_PARTIAL)
            if (t >= 11) SLOT(ring->aside.partial, t - 9) = NEXT_TURN(PARTIAL(t - 9));
            if (t < 10) STAGE_3(last, t - 6, LAST_Y3)
            else STAGE_3(x, t - 6, Y3)
            if (t < 6) ADD_UP(last, t - 4, LAST_Y2, LAST_Y3)
            else ADD_UP(x, t - 4, Y2, Y3)
            if (t >= 10 && t < 13) SLOT(ring->aside.y3, t - 8) = NEXT_TURN(Y3(t - 8));
            if (t < 5) STAGE_2(last, t - 3, LAST_Y2)
            else STAGE_2(x, t - 3, Y2)
            if (t >= 5 && t < 8) SLOT(ring->aside.y2, t - 5) = NEXT_TURN(Y2(t - 5));
            STAGE_1(x, t)
        }
        UNROLL for (long i = 4; i < 7; i++) SLOT(ring->aside.y4, i) = NEXT_TURN(Y4(i));
    }
    ring->now = now;
    ring->num_steps += num_steps, ring->started = 1;
}

/* Where the sites are in order: valid until the ring advances. */
INLINE VEC *NAME(in_order)(const NAME(ring) *ring, int folded)
{
    VEC *x = ring->x;
    const long length = ring->length, drift = NAME(drift) * ring->num_steps;
    const long turns = (drift + length - 1) / length, first = turns * length - drift;
    for (long i = -2; i < first; i++) x[length + i] = NEXT_TURN(x[i]);
    for (long i = first; folded && i < first + length; i++)
        for (long k = 0; k < turns; k++) x[i] = NAME(from_previous_lane)(x[i]);
    return x + first;
}

/* Advance an ensemble of periodic rings; save every save_every steps (never if that is 0).
 * states: (num_trajectories, num_sites), updated. Sample s of trajectory m goes to
 * saved + m * trajectory_stride + s * time_stride (strides in elements). */
EXPORT int NAME(lorenz96_ensemble)(REAL *states, long num_trajectories, long num_sites,
                                   double forcing, double step, long num_steps, long save_every,
                                   void *saved, int save_as_float, long trajectory_stride,
                                   long time_stride)
{
    /* a ring too short for the pipeline is repeated: a ring of twice the sites is as good */
    long length = num_sites;
    while (length < NAME(shortest)) length += num_sites;
    VEC *sites = allocate((3 * length + 8) * sizeof(VEC));
    if (!sites) return OUT_OF_MEMORY;
    NAME(ring) ring = {sites + length + 2, length};
    const long saved_bytes = save_as_float ? sizeof(float) : sizeof(REAL);
    for (long first = 0; first < num_trajectories; first += LANES) {
        const long rows = num_trajectories - first < LANES ? num_trajectories - first : LANES;
        NAME(load_rows)(sites, 1, num_sites, states + first * num_sites, num_sites, rows);
        for (long i = num_sites; i < length; i++) sites[i] = sites[i - num_sites];
        NAME(start)(&ring, sites, 0);
        char *out = (char *)saved + first * trajectory_stride * saved_bytes;
        for (long done = 0; done < num_steps;) {
            const long left = num_steps - done;
            const long count = save_every && save_every < left ? save_every : left;
            NAME(advance)(&ring, count, forcing, step, 0);
            done += count;
            if (save_every && count == save_every) {
                NAME(save_rows)(NAME(in_order)(&ring, 0), 1, num_sites, out, save_as_float,
                                trajectory_stride, rows);
                out += time_stride * saved_bytes;
            }
        }
        NAME(store_rows)(NAME(in_order)(&ring, 0), 1, num_sites, states + first * num_sites,
                         num_sites, rows);
    }
    free(sites);
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
    VEC *memory = allocate((5 * block_length + 8) * sizeof(VEC) + left * sizeof(REAL));
    if (!memory) return OUT_OF_MEMORY;
    VEC *present = memory, *next = present + block_length, *x = next + block_length;
    REAL *unfolded = (REAL *)(x + 2 * block_length + 8), *kept = unfolded + size;
    NAME(ring) ring = {x + 2, block_length};
    NAME(fold)(present, points, end, block_length, unfolded);
    for (long start = 0; start < num_points; start += useful) {
        REAL *block = points + start;
        const long following = start + useful;
        if (following < num_points)
            NAME(fold)(next, points + following, end - following, block_length, unfolded);
        NAME(start)(&ring, present, 1);
        NAME(advance)(&ring, num_steps, forcing, step, 1);
        const VEC *advanced = NAME(in_order)(&ring, 1);
        if (following < num_points) {
            /* straight into place; the right halo is lost, but the next block has read it */
            memcpy(kept, block, left * sizeof(REAL));
            NAME(store_rows)(advanced, 1, block_length, block, block_length, LANES);
            memcpy(block, kept, left * sizeof(REAL));
        } else {
            NAME(store_rows)(advanced, 1, block_length, unfolded, block_length, LANES);
            memcpy(block + left, unfolded + left, (num_points - start) * sizeof(REAL));
        }
        VEC *other = present;
        present = next, next = other;
    }
    free(memory);
    return 0;
}

#undef SLOPE
#undef SLOPE_OF
#undef SLOT
#undef Y2
#undef Y3
#undef Y4
#undef PARTIAL
#undef LAST_Y2
#undef LAST_Y3
#undef LAST_Y4
#undef LAST_PARTIAL
#undef STAGE_1
#undef STAGE_2
#undef ADD_UP
#undef STAGE_3
#undef STAGE_4
#undef ITERATION
#undef NEXT_TURN
