"""Room 2, the wall: what the hexagon asks of the world, one file a port.

May import: standard library.
"""
