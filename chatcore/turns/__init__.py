"""Room 1, the hexagon: how a turn runs once it is admitted.

May import: standard library.
"""
