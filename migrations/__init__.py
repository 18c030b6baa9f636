"""Beside room 3: the history of the tables, for Alembic.

May import: standard library.
"""
