"""Every stream of random numbers, and how its seed is formed; what one stream draws moves no other.

| stream | seed |
|---|---|
| which class is head, of a split | `[seed, RANKS]` |
| which pictures are a test set, where the source has none | the letters of the class, the same for all seeds |
| which pictures, of a split | `[seed, PICTURES]` |
| cached views | `key(pass, view, first picture)`, the same for all seeds |
| order of labeled and unlabeled pictures, a pass over them each | `[key(seed, LABELED or UNLABELED), pass]` |
| views of a step | `key(seed, step, LABELED, UNLABELED or STRONG)`; of each: crop and flip, `CUTOUT`, `RANDAUGMENT` |
| bootstrap samples | `0` |
| new weights | torch's generator, from `key(seed, WEIGHTS)` |
"""

from functools import lru_cache

import numpy as np

RANKS, PICTURES = 0, 1
LABELED, UNLABELED, STRONG = 0, 1, 2
WEIGHTS = 2
CUTOUT, RANDAUGMENT = 1, 2


def key(*parts: int) -> int:
    """A seed from several integers; different parts give unrelated seeds.

    Their number comes first, since SeedSequence pads with zeros: (1, 2) and (1, 2, 0) are the same to it.
    """
    return int(np.random.SeedSequence([len(parts), *parts]).generate_state(1, np.uint64)[0] >> 1)


def generator(*parts: int) -> np.random.Generator:
    """NumPy's generator from a seed, or from the parts of one."""
    return np.random.default_rng(parts)


def shuffled(count: int, size: int, step: int, seed: int) -> np.ndarray:
    """Positions of batch `step` in an endless row of passes over `count` items, each pass in an order of its own."""
    passes, places = np.divmod(np.arange(step * size, (step + 1) * size), count)
    numbers = range(int(passes[0]), int(passes[-1]) + 1)
    return np.concatenate([_order(count, seed, number)[places[passes == number]] for number in numbers])


@lru_cache(maxsize=8)
def _order(count: int, seed: int, number: int) -> np.ndarray:
    return generator(seed, number).permutation(count)
