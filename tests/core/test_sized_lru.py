"""SizedLru, compared with cachetools' LRUCache."""

from __future__ import annotations

from cachetools import LRUCache
from hypothesis import given
from hypothesis import strategies as st

from transfer_gateway.core.sized_lru import SizedLru

_MAX = 20
_steps = st.tuples(
    st.sampled_from(("keep", "get", "forget")), st.sampled_from("abcdef"), st.integers(1, _MAX + 2)
)


@given(st.lists(_steps, max_size=60))
def test_it_keeps_what_an_lru_cache_keeps(steps: list[tuple[str, str, int]]) -> None:
    """After any steps both have the same values and size; a value that is too large is not kept."""
    ours: SizedLru[str, int] = SizedLru(_MAX, lambda value: value)
    theirs: LRUCache[str, int] = LRUCache(_MAX, getsizeof=lambda value: value)
    for step, key, value in steps:
        if step == "get":
            assert ours.get(key) == theirs.get(key)
        elif step == "forget":
            ours.discard(key)
            theirs.pop(key, None)
        else:
            ours.put(key, value)
            theirs.pop(key, None)
            if value <= _MAX:
                theirs[key] = value
        assert (len(ours), ours.size) == (len(theirs), theirs.currsize)
    assert {key: ours.get(key) for key in "abcdef" if key in theirs} == dict(theirs)
