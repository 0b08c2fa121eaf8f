"""The part of the parameters that each stage may read, resolved for one job. One file for each stage."""
