"""Any value of a shape of botocore's models, for properties of what decodes them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st


def wire(shape: Any) -> st.SearchStrategy[Any]:
    """Any value of a shape: optional members present or not, enum values known or new."""
    if shape.type_name == "structure":
        members = {name: wire(member) for name, member in shape.members.items()}
        required = {name: members.pop(name) for name in shape.required_members}
        return st.fixed_dictionaries(required, optional=members)
    if shape.type_name == "list":
        return st.lists(wire(shape.member), max_size=3)
    if shape.type_name in ("integer", "long"):
        return st.integers(0, 4294967295)
    return (
        st.sampled_from([*getattr(shape, "enum", []), "NEW"]) if getattr(shape, "enum", None) else st.text()
    )
