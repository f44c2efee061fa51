"""A file of the source that is long has a reason."""

from __future__ import annotations

from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src"
MOST_LINES = 350
REASONS = {
    "transfer_gateway/api/graphql/schema.py": "all root fields, most of it their arguments and descriptions",
    "transfer_gateway/api/graphql/view.py": "a request over HTTP from its head to its response, in one order",
    "transfer_gateway/core/follower.py": "the state of one target's reading; what it reads with is in files of its own",
    "transfer_gateway/history/search.py": "the ways to find a page, which share their conditions and order",
    "transfer_gateway/history/statements.py": "a statement for each thing that is stored, in both dialects",
    "transfer_gateway/history/store.py": "the store's interface; what takes more than a statement is in other files",
}


def test_long_files_have_a_reason() -> None:
    """And no other files have one."""
    lengths = {
        str(path.relative_to(SOURCE)): len(path.read_text().splitlines())
        for path in SOURCE.rglob("*.py")
        if not path.is_relative_to(SOURCE / "transfer_api")
    }
    assert {name for name, lines in lengths.items() if lines > MOST_LINES} == REASONS.keys()
