"""Runtimes: one file each; its context manager of the same name opens a model to run."""
