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
    for (long round = 1; round < LANES; round *= 2) {
        for (long i = 0; i < LANES / 2; i++) {
            next[2 * i] = __builtin_shuffle(tile[i], tile[i + LANES / 2], low);
            next[2 * i + 1] = __builtin_shuffle(tile[i], tile[i + LANES / 2], high);
        }
        for (long i = 0; i < LANES; i++) tile[i] = next[i];
    }
#endif
}

/* field[stride * i] lane l = rows[l * row_stride + i] for l < num_rows; the other lanes are 0. */
static void NAME(load_rows)(VEC *field, long stride, long length, const REAL *rows,
                            long row_stride, long num_rows)
{
    for (long start = 0; start < length; start += LANES) {
        const long count = length - start < LANES ? length - start : LANES;
        VEC tile[LANES];
        for (long l = 0; l < LANES; l++) {
            tile[l] = ALL(0);
            if (l < num_rows)
                memcpy(&tile[l], rows + l * row_stride + start, count * sizeof(REAL));
        }
        NAME(transpose)(tile);
        for (long i = 0; i < count; i++) field[stride * (start + i)] = tile[i];
    }
}

/* The reverse, in the arithmetic's own type. */
static void NAME(store_rows)(const VEC *field, long stride, long length, REAL *rows,
                             long row_stride, long num_rows)
{
    for (long start = 0; start < length; start += LANES) {
        const long count = length - start < LANES ? length - start : LANES;
        VEC tile[LANES];
        for (long i = 0; i < LANES; i++) tile[i] = i < count ? field[stride * (start + i)] : ALL(0);
        NAME(transpose)(tile);
        for (long l = 0; l < num_rows; l++) {
            REAL *row = rows + l * row_stride + start;
            if (count == LANES) memcpy(row, &tile[l], sizeof(VEC));
            else memcpy(row, &tile[l], count * sizeof(REAL));
        }
    }
}

/* Save rows in either type: the kernels call this one at every save. */
static void NAME(save_rows)(const VEC *field, long stride, long length, void *rows, int as_float,
                            long row_stride, long num_rows)
{
    if (!as_float || sizeof(REAL) == sizeof(float)) {
        NAME(store_rows)(field, stride, length, rows, row_stride, num_rows);
        return;
    }
    float *out = rows;
    for (long start = 0; start < length; start += LANES) {
        const long count = length - start < LANES ? length - start : LANES;
        VEC tile[LANES];
        for (long i = 0; i < LANES; i++) tile[i] = i < count ? field[stride * (start + i)] : ALL(0);
        NAME(transpose)(tile);
        for (long l = 0; l < num_rows; l++) {
            float row[LANES];
            for (long i = 0; i < LANES; i++) row[i] = (float)tile[l][i];
            if (count == LANES) memcpy(out + l * row_stride + start, row, sizeof row);
            else memcpy(out + l * row_stride + start, row, count * sizeof(float));
        }
    }
}
