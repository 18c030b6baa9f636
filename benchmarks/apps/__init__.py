"""Beside the rooms: what chatcore is compared with; each is a program of its own.

May import: standard library.
"""
