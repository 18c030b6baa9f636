"""Room 4, the door: the protocols that existing frontends speak, each in a folder of its own.

May import: standard library.
"""
