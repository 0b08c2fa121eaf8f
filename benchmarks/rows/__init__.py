"""What `make bench` measures: a script for each row of the table, `python -m benchmarks.rows.heads`."""
