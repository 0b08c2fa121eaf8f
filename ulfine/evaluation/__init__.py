"""From logits to metrics, from metrics to tables."""
