"""The measurements of `make bench`: a script for each row of the table, `python -m benchmarks.rows.heads`."""
