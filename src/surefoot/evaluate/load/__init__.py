"""Latency under load, in process and at endpoints."""
