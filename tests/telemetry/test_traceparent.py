"""The caller's trace, by W3C Trace Context."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer_gateway.telemetry.traceparent import trace_id_of

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("told", "trace_id"),
    [
        pytest.param(f"00-{TRACE}-{SPAN}-01", TRACE, id="sampled"),
        pytest.param(f"00-{TRACE}-{SPAN}-00", TRACE, id="not-sampled"),
        pytest.param(f"cc-{TRACE}-{SPAN}-01-of-tomorrow", TRACE, id="a-later-version"),
        pytest.param(f"00-{TRACE}-{SPAN}-01-more", None, id="more-than-this-version-has"),
        pytest.param(f"ff-{TRACE}-{SPAN}-01", None, id="no-version"),
        pytest.param(f"00-{'0' * 32}-{SPAN}-01", None, id="no-trace"),
        pytest.param(f"00-{TRACE}-{'0' * 16}-01", None, id="no-span"),
        pytest.param(f"00-{TRACE.upper()}-{SPAN}-01", None, id="capitals"),
        pytest.param(f"00-{TRACE}-{SPAN}-01\n", None, id="a-line-more"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_well_formed_ones_are_believed(told: str, trace_id: str | None) -> None:
    """A well-formed header gives its trace, whatever later versions add; any other gives none."""
    assert trace_id_of(told) == trace_id


@given(st.text() | st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", fullmatch=True))
def test_nothing_else_comes_out(told: str) -> None:
    """Whatever is sent, the log gets an id or nothing."""
    found = trace_id_of(told)
    assert found is None or (len(found) == 32 and int(found, 16) > 0)
