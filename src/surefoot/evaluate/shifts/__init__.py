"""Data shifts, one file each: `(inputs, rng, *, severity) -> inputs`; the labels stay true."""
