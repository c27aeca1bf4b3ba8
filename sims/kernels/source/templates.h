/* Everything that exists once per arithmetic type. */
#undef VEC
#undef LANES
#undef ALL
#undef FIELD
#include "vectors.h"
#include "lorenz96.h"
#include "transform.h"
#include "kuramoto_sivashinsky.h"
#include "probes.h"
#include "sums.h"
