"""Beside the hexagon: contract suites for authors of adapters. Nothing in chatcore imports them.

May import: standard library.

Install with the extra `testing`; the modules need pytest and hypothesis.
"""
