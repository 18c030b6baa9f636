"""Room 4, the door: the native HTTP protocol, JSON in and out.

May import: standard library.
"""
