"""Beside room 3: the migrations, in the order of their numbers.

May import: standard library.
"""
