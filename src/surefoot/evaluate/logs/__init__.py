"""Logs of other evaluators: one file each; the folder is the registry."""
