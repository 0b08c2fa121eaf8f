"""Jobs, configurations, hashes of code, provenance: what runs the science under two engines, and it imports none of."""
