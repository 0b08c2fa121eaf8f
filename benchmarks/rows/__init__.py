"""The measurements of `make bench`: a script per row of the table, as in `python -m benchmarks.rows.heads`."""
