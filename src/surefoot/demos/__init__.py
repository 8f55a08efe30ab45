"""Demos: each gets real data and a real model, writes an ordinary plan, and runs it."""
