"""Room 3, the world: one folder a technology, each behind a port of chatcore.

May import: standard library.
"""
