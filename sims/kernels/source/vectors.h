/* One vector of REAL per SIMD register, and the transposition between the two layouts.
 *
 * Included once per arithmetic type. Expects REAL, NAME(x) (adds the type's suffix to x) and
 * VECTOR_BYTES. In memory outside, a trajectory is a contiguous row; inside, lane l of every
 * vector belongs to trajectory l ("lanes"), so that neighbouring sites are neighbouring vectors
 * and no instruction ever crosses lanes while stepping.
 */
#define VEC NAME(vec)
#define LANES ((long)(VECTOR_BYTES / sizeof(REAL)))

typedef REAL VEC __attribute__((vector_size(VECTOR_BYTES)));

INLINE VEC NAME(all)(REAL value) { return value - (VEC){}; }
#define ALL(value) NAME(all)(value)

/* Transpose a LANES × LANES tile: rows become lanes, or lanes become rows. */
INLINE void NAME(transpose)(VEC *tile)
{
#if defined(__clang__)
    REAL copy[LANES][LANES];
    memcpy(copy, tile, sizeof copy);
    for (long i = 0; i < LANES; i++)
        for (long j = 0; j < LANES; j++) tile[i][j] = copy[j][i];
#else
    const NAME(index) low = NAME(zip_low), high = NAME(zip_high);
    VEC next[LANES];
    UNROLL for (long round = 1; round < LANES; round *= 2) {
        UNROLL for (long i = 0; i < LANES / 2; i++) {
            next[2 * i] = __builtin_shuffle(tile[i], tile[i + LANES / 2], low);
            next[2 * i + 1] = __builtin_shuffle(tile[i], tile[i + LANES / 2], high);
        }
        UNROLL for (long i = 0; i < LANES; i++) tile[i] = next[i];
    }
#endif
}

/* field[stride * i] lane l = rows[l * row_stride + i] for l < num_rows; the other lanes are 0.
 * Where the length is no multiple of a tile, the last tile overlaps the one before it, which saves
 * many short copies. */
static void NAME(load_rows)(VEC *field, long stride, long length, const REAL *rows,
                            long row_stride, long num_rows)
{
    const int whole = num_rows == LANES && length >= LANES;
    for (long start = 0; start < length; start += LANES) {
        if (whole && start + LANES > length) start = length - LANES;
        const long count = length - start < LANES ? length - start : LANES;
        VEC tile[LANES];
        if (whole) {
            UNROLL for (long l = 0; l < LANES; l++)
                memcpy(&tile[l], rows + l * row_stride + start, sizeof(VEC));
        } else {
            memset(tile, 0, sizeof tile);
            for (long l = 0; l < num_rows; l++)
                memcpy(&tile[l], rows + l * row_stride + start, count * sizeof(REAL));
        }
        NAME(transpose)(tile);
        for (long i = 0; i < count; i++) field[stride * (start + i)] = tile[i];
    }
}

/* The reverse, into rows of another type if need be. */
#define DEFINE_STORE_ROWS(function, OUT)                                                          \
    static void NAME(function)(const VEC *field, long stride, long length, OUT *rows,             \
                               long row_stride, long num_rows)                                    \
    {                                                                                             \
        typedef OUT row_type __attribute__((vector_size(LANES * sizeof(OUT))));                   \
        VEC tile[LANES];                                                                          \
        if (length < LANES) {                                                                     \
            memset(tile, 0, sizeof tile);                                                         \
            for (long i = 0; i < length; i++) tile[i] = field[stride * i];                        \
            NAME(transpose)(tile);                                                                \
            for (long l = 0; l < num_rows; l++) {                                                 \
                const row_type row = __builtin_convertvector(tile[l], row_type);                  \
                memcpy(rows + l * row_stride, &row, length * sizeof(OUT));                        \
            }                                                                                     \
            return;                                                                               \
        }                                                                                         \
        for (long start = 0;; start += LANES) {                                                   \
            if (start + LANES > length) start = length - LANES;                                   \
            UNROLL for (long i = 0; i < LANES; i++) tile[i] = field[stride * (start + i)];        \
            NAME(transpose)(tile);                                                                \
            UNROLL for (long l = 0; l < LANES; l++)                                               \
            {                                                                                     \
                if (l >= num_rows) break;                                                         \
                const row_type row = __builtin_convertvector(tile[l], row_type);                  \
                memcpy(rows + l * row_stride + start, &row, sizeof row);                          \
            }                                                                                     \
            if (start + LANES == length) return;                                                  \
        }                                                                                         \
    }

DEFINE_STORE_ROWS(store_rows, REAL)
DEFINE_STORE_ROWS(store_float_rows, float)

/* Save rows in either type: the kernels call this one at every save. */
static void NAME(save_rows)(const VEC *field, long stride, long length, void *rows, int as_float,
                            long row_stride, long num_rows)
{
    if (as_float) NAME(store_float_rows)(field, stride, length, rows, row_stride, num_rows);
    else NAME(store_rows)(field, stride, length, rows, row_stride, num_rows);
}

#undef DEFINE_STORE_ROWS
