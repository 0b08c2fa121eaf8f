"""ULFine (arXiv 2505.05062): long-tailed semi-supervised learning on a CLIP backbone."""
