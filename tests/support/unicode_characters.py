"""Every character that UTF-8 can carry: what `st.text()` draws from by itself.

Said by category: by codec, each test process would try 1.1 million characters first, for seconds.
"""

from __future__ import annotations

from hypothesis import strategies as st

UNICODE_CHARACTERS = st.characters(exclude_categories=["Cs"])
