"""Room 1, the hexagon: the use cases, grouped by what they are about.

May import: standard library.
"""
