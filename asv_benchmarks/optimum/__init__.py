"""First to the optimum: who reaches the minimum of one objective, and how soon.

``python -m asv_benchmarks.compare optimum`` prints a table with a row for each problem of
`problems.PROBLEMS`. A problem is data and one objective, ``mean(sample_weight * loss) + alpha *
penalty`` with the intercept unpenalised, which is computed here in NumPy, in float64, from the
coefficients that a competitor gives back; what a library says of its own objective or convergence
does not count.

A fit **reaches** the optimum where ::

    objective - best <= 1e-6 * (constant - best)

with `constant` the objective of the best model without features (coefficients 0; intercept the
best, or 0 where the problem has none) and `best` the least objective that any fit of any competitor
found, those of a long run at the tightest tolerance among them. What is left of the gain over a
constant is at most a millionth, whatever the units of y and of the loss.

The **seconds** of a competitor are those of the loosest of its tolerances with which it reaches;
tolerances go by decades, so that nobody pays for digits that were not asked for. ``auto`` is the
exception: it has to reach with the default `tol` of the estimators, and is timed with that alone.
A fit starts from the user's arrays: checks and conversions (to CSC, to tensors, to text) are in its
time. Fits of a problem are timed by turns in one process, with the same number of threads, after
one that is not timed (compilation, caches), and the table has their medians. A competitor that does
not reach, or whose fit takes longer than the limit, has "-".

The **verdict** compares with the best of the other libraries: "first", "within 10 %" of its time,
or "short". A row where the default `tol` does not reach has the share of the gain that is left.
"""
