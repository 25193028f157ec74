"""Writes `sklearn_losses/_kernels/losses/partition_table.h`: the logarithm of the partition
function of Barron's loss, ``Z(alpha) = integral of exp(-rho(x, alpha, 1))``, in pieces, from 60
digits.

    python tests/losses/partition_table.py > sklearn_losses/_kernels/losses/partition_table.h

Beside alpha = 2 it has terms ``(2 - alpha)**(n / 2) * log(2 - alpha)**k``, beside 0 a series that
converges nowhere. Of the raw prediction ``t``, the logit of alpha / 2, it is analytic in a strip
around the real line, so that polynomials in t do from end to end.
"""

from functools import cache

from mpmath import mp, mpf

LEFT, RIGHT, WIDTH, TERMS, LEFT_TERMS, LEFT_UNIT = -8, 36, 2, 20, 11, 2**11
DIGITS = 60


@cache
def _grid(step, digits):
    """Points of x = sqrt(2 - alpha) sinh(y), which makes the integrand analytic and even."""
    return [(mp.cosh(y), mp.log(mp.cosh(y))) for y in (k * step for k in range(int(150 / step)))]


def log_partition(t, step=None):
    """log Z of alpha = 2 / (1 + exp(-t)), by the trapezoidal rule, which converges
    geometrically."""
    step = step or mpf(1) / 24
    q, p = 1 / (1 + mp.exp(-t)), 1 / (1 + mp.exp(t))
    total = -mpf(1) / 2
    for cosh, log_cosh in _grid(step, mp.dps):
        rho = p / q * mp.expm1(2 * q * log_cosh)
        total += (term := mp.exp(-rho) * cosh)
        if term < total * mpf(10) ** (2 - mp.dps):
            break
    return mp.log(2 * mp.sqrt(2 * p) * step * total)


def limit(t):
    """log Z at the end of alpha's interval that t is nearer to."""
    return mp.log(2 * mp.pi) / 2 if t >= 0 else mp.log(mp.pi * mp.sqrt(2))


def rest(t):
    """What log Z differs from its limit by, over (2 - alpha) / 2 or alpha / 2."""
    return (log_partition(t) - limit(t)) * (1 + mp.exp(abs(t)))


def coefficients(function, terms):
    """Of powers of u, of the polynomial that interpolates a function on [-1, 1] at Chebyshev's
    points."""
    at = [mp.cos(mp.pi * (2 * j + 1) / (2 * terms)) for j in range(terms)]
    values = [function(u) for u in at]
    made, before, last = [mpf(0)] * terms, [mpf(0)] * terms, [mpf(0)] * terms
    for k in range(terms):
        if k < 2:
            now = [mpf(i == k) for i in range(terms)]
        else:
            now = [2 * a - b for a, b in zip([mpf(0), *last[:-1]], before, strict=True)]
        angles = (mp.cos(mp.pi * k * (2 * j + 1) / (2 * terms)) for j in range(terms))
        weight = sum(v * c for v, c in zip(values, angles, strict=True)) * (2 if k else 1) / terms
        made = [m + weight * c for m, c in zip(made, now, strict=True)]
        before, last = last, now
    return made


def piece(k):
    """Coefficients of the piece between LEFT + k WIDTH and that plus WIDTH."""
    middle = LEFT + mpf(WIDTH) * (2 * k + 1) / 2
    return coefficients(lambda u: rest(middle + mpf(WIDTH) / 2 * u), TERMS)


def left_end():
    """Coefficients of powers of alpha / 2 * LEFT_UNIT, from 0 on."""

    def value(u):
        q = (1 + u) / 2 / LEFT_UNIT
        return rest(mp.log(q / (1 - q)))

    # From powers of u = 2 x - 1 to those of x.
    made = [mpf(0)] * LEFT_TERMS
    for c in reversed(coefficients(value, LEFT_TERMS)):
        made = [2 * a - b for a, b in zip([mpf(0), *made[:-1]], made, strict=True)]
        made[0] += c
    return made


def right_end():
    """The straight line that `rest` tends to."""
    near, far = rest(mpf(60)), rest(mpf(80))
    slope = (far - near) / 20
    return [near - 60 * slope, slope]


def main():
    rows = [piece(k) for k in range((RIGHT - LEFT) // WIDTH)]
    level, slope = (mp.nstr(c, 18) for c in right_end())

    def listed(numbers):
        digits = [mp.nstr(c, 21, min_fixed=-3, max_fixed=3) for c in numbers]
        lines = [digits[i : i + 4] for i in range(0, len(digits), 4)]
        return ",\n        ".join(", ".join(line) for line in lines)

    print(f"""\
// Written by tests/losses/partition_table.py, which says what it holds.
#ifndef SKLEARN_LOSSES_PARTITION_TABLE_H
#define SKLEARN_LOSSES_PARTITION_TABLE_H

#include "math/config.h"

namespace sl {{

struct PartitionTable {{
    enum {{ LEFT = {LEFT}, PIECES = {len(rows)}, WIDTH = {WIDTH} }};
    enum {{ TERMS = {TERMS}, LEFT_TERMS = {LEFT_TERMS} }};
    // log Z at alpha = 0 and at 2, and what powers of alpha / 2 are multiplied by at the left end.
    static constexpr double at_zero = {mp.nstr(limit(-1), 21)}, at_two = {mp.nstr(limit(1), 21)};
    static constexpr double left_unit = {LEFT_UNIT}.0;
    // The line at the right end.
    static constexpr double right_level = {level}, right_slope = {slope};
    static SL_FN double left(int k) {{
        static const double c[LEFT_TERMS] = {{
        {listed(left_end())}}};
        return c[k];
    }}
    static SL_FN double piece(int k) {{
        static const double c[PIECES * TERMS] = {{""")
    print(",\n".join(f"        {listed(row)}" for row in rows), end="")
    print("""};
        return c[k];
    }
};

}  // namespace sl

#endif""")


if __name__ == "__main__":
    mp.dps = DIGITS
    main()
