"""Compression steps: one file each; its function of the same name turns a model into another."""
