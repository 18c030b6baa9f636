"""Room 1, the hexagon: the nouns of a conversation, as plain immutable values.

May import: standard library.
"""
