"""The lean model in front, the big one behind it.

Nothing is imported here: a worker must not carry what only the choice of a threshold needs.
"""
