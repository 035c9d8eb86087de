// SPDX-License-Identifier: Apache-2.0
//
// The weighted quantile by selection: the range that holds it is split around a pivot until one
// value is left, each round going on with one side and the weight that it still needs.
#include "learn/gbt/gbt_priv.h"

static void swap(tp_gbt_weighted *a, tp_gbt_weighted *b)
{
    const tp_gbt_weighted old = *a;
    *a = *b;
    *b = old;
}

// The middle one of first, middle and last.
static double pivot_of(const tp_gbt_weighted *items, size_t count)
{
    const double a = items[0].value;
    const double b = items[count / 2].value;
    const double c = items[count - 1].value;
    const double low = a < b ? a : b;
    const double high = a < b ? b : a;
    return c < low ? low : c > high ? high : c;
}

// Three-way: [0, less) below the pivot, [less, equal_end) equal to it, the rest above.
static void partition(tp_gbt_weighted *items, size_t count, size_t *ret_less, size_t *ret_equal_end)
{
    const double pivot = pivot_of(items, count);
    size_t less = 0;
    size_t at = 0;
    size_t more = count;
    while (at < more) {
        if (items[at].value < pivot) {
            swap(&items[at++], &items[less++]);
        } else if (items[at].value > pivot) {
            swap(&items[at], &items[--more]);
        } else {
            at++;
        }
    }
    *ret_less = less;
    *ret_equal_end = more;
}

static double weight_sum(const tp_gbt_weighted *items, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += items[i].weight;
    }
    return sum;
}

// The least value with a weight, or `none`.
static double least_of(const tp_gbt_weighted *items, size_t count, double none)
{
    bool found = false;
    double least = none;
    for (size_t i = 0; i < count; i++) {
        if (items[i].weight > 0 && (!found || items[i].value < least)) {
            least = items[i].value;
            found = true;
        }
    }
    return least;
}

double tp_gbt_quantile(tp_gbt_weighted *items, size_t count, double quantile)
{
    double needed = weight_sum(items, count) * quantile;
    double above = 0; // least value beyond the range, where there is one
    bool has_above = false;
    while (count > 0) {
        size_t less;
        size_t equal_end;
        partition(items, count, &less, &equal_end);
        const double pivot = items[less].value;
        const double less_weight = weight_sum(items, less);
        const double equal_weight = weight_sum(items + less, equal_end - less);
        if (less > 0 && needed <= less_weight) {
            above =
                equal_weight > 0 ? pivot : least_of(items + equal_end, count - equal_end, pivot);
            has_above = true;
            count = less;
            continue;
        }
        needed -= less_weight;
        const bool is_last = equal_end == count;
        if (needed < equal_weight || (is_last && !has_above)) {
            return pivot;
        }
        if (needed == equal_weight) {
            const double next =
                is_last ? above
                        : least_of(items + equal_end, count - equal_end, has_above ? above : pivot);
            return pivot / 2 + next / 2;
        }
        needed -= equal_weight;
        items += equal_end;
        count -= equal_end;
    }
    return above;
}
