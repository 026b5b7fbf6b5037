/* The Avellaneda-Stoikov quote in plain C, for the benchmarks alone: the floor that the compiled module is held against. */
#ifndef FC_FLOOR_QUOTES_H
#define FC_FLOOR_QUOTES_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

/* Constants kept: base = ln(1 + gamma/k) / gamma, variance = gamma sigma^2. The sum keeps the work alive. */
static inline double fc_floor_quotes(const double *mid, ptrdiff_t n, double inventory, double time_left, double base,
                                     double variance) {
    double sum = 0.0;
    for (ptrdiff_t i = 0; i < n; i++) {
        double risk = variance * time_left, half = base + 0.5 * risk, r = mid[i] - inventory * risk;
        sum += (r - half) + (r + half) * 0.5;
        time_left -= 1e-9;
    }
    return sum;
}

/* The published formula, logarithm and all, for every quote. */
static inline double fc_floor_quotes_log(const double *mid, ptrdiff_t n, double inventory, double time_left, double gamma,
                                         double sigma, double k) {
    double sum = 0.0;
    for (ptrdiff_t i = 0; i < n; i++) {
        double risk = gamma * sigma * sigma * time_left, spread = risk + 2.0 / gamma * log(1.0 + gamma / k);
        double r = mid[i] - inventory * risk;
        sum += (r - 0.5 * spread) + (r + 0.5 * spread) * 0.5;
        time_left -= 1e-9;
        k += 1e-12;
    }
    return sum;
}

/* Direct index: what no hash table can beat. */
static inline uint64_t fc_floor_index(const uint32_t *ids, const uint32_t *at, ptrdiff_t n) {
    uint64_t sum = 0;
    for (ptrdiff_t i = 0; i < n; i++) sum += ids[at[i]];
    return sum;
}

#endif
