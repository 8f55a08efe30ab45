"""Candidates that live elsewhere: files of predictions, and logs of other evaluators."""
