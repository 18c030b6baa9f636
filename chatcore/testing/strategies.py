"""Beside the hexagon: what the state machine draws its values from.

May import: standard library, chatcore, hypothesis.
"""

from __future__ import annotations

from hypothesis import strategies as st

from chatcore import Feedback, Rating

from .builders import EXPIRED

TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=40
)
KEYS = st.none() | st.sampled_from(["key-one", "key-two", "key-three"])
ALIVE = 3600.0
"""A lease, or a deadline, that no run outlives."""
LEASES = st.sampled_from([ALIVE, EXPIRED])
DEADLINES = st.sampled_from([ALIVE, -2 * ALIVE])
"""Far away, or so long ago that no lease can be renewed."""
FEEDBACK = st.none() | st.builds(
    Feedback, rating=st.sampled_from(Rating), comment=st.none() | st.sampled_from(["Why?", "🤖"])
)
DIGESTS = st.none() | st.sampled_from(["a" * 64, "b" * 64])
