"""A search for slices that nobody declared."""
