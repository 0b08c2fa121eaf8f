"""The mathematics of the methods, free of any training loop."""
