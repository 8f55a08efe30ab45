"""The nouns: frozen dataclasses and errors; no files but hashing, no network, no torch."""
