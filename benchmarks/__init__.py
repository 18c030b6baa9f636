"""Beside the rooms: benchmarks against what teams write, and against what is possible.

May import: standard library.
"""
