"""Room 4, the door: the service that people and programs talk to.

May import: standard library.
"""
