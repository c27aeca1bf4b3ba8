/* Sums over time of samples and of their squares, in float64 and strictly in the order of time.
 *
 * Included once per type of the samples. Products are rounded before they are added, so that the
 * sums are the same bits with every instruction set.
 */
enum { NAME(sum_lanes) = VECTOR_BYTES / sizeof(double), NAME(sum_tile) = 4 };

/* Add those of num_vectors vectors of components to what accumulates in the registers of one
 * tile; sums[0 ..] then gets the sums of the components from skip on, sums[square ..] the squares. */
INLINE void NAME(add_tile)(double *sums, long square, const REAL *samples, long num_samples,
                           long stride, long num_vectors, long skip)
{
    typedef REAL row_type __attribute__((vector_size(NAME(sum_lanes) * sizeof(REAL))));
    vec_f64 sum[NAME(sum_tile)] = {}, squares[NAME(sum_tile)] = {};
    for (long t = 0; t < num_samples; t++, samples += stride)
        UNROLL for (long v = 0; v < num_vectors; v++)
        {
            row_type row;
            memcpy(&row, samples + v * NAME(sum_lanes), sizeof row);
            const vec_f64 value = __builtin_convertvector(row, vec_f64);
            vec_f64 product = value * value;
            KEEP_IN_REGISTERS(product);
            sum[v] += value;
            squares[v] += product;
        }
    for (long i = skip; i < num_vectors * NAME(sum_lanes); i++) {
        sums[i] += sum[i / NAME(sum_lanes)][i % NAME(sum_lanes)];
        sums[square + i] += squares[i / NAME(sum_lanes)][i % NAME(sum_lanes)];
    }
}

/* sums[m][0][i] and sums[m][1][i] get the sums over t of samples[m][t][i] and of their squares;
 * stride is that of a trajectory, in elements. */
EXPORT int NAME(add_sums)(double *sums, const REAL *samples, long num_trajectories,
                          long num_samples, long num_components, long stride)
{
    const long n = num_components, lanes = NAME(sum_lanes), wide = NAME(sum_tile) * lanes;
    for (long m = 0; m < num_trajectories; m++, sums += 2 * n, samples += stride) {
        long i = 0;
        for (; i + wide <= n; i += wide)
            NAME(add_tile)(sums + i, n, samples + i, num_samples, n, NAME(sum_tile), 0);
        for (; i + lanes <= n; i += lanes)
            NAME(add_tile)(sums + i, n, samples + i, num_samples, n, 1, 0);
        if (i < n && n >= lanes) /* the last vector overlaps the one before it */
            NAME(add_tile)(sums + n - lanes, n, samples + n - lanes, num_samples, n, 1,
                           lanes - (n - i));
        else
            for (; i < n; i++) {
                double sum = 0, squares = 0;
                for (long t = 0; t < num_samples; t++) {
                    const double value = samples[t * n + i];
                    double product = value * value;
                    KEEP_IN_REGISTERS(product);
                    sum += value, squares += product;
                }
                sums[i] += sum, sums[n + i] += squares;
            }
    }
    return 0;
}
