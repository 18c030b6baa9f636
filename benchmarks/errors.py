"""Beside the rooms: why a benchmark proves nothing.

May import: standard library.
"""


class BenchmarkError(Exception):
    """Something is missing or went wrong, so that no figure may be published."""
