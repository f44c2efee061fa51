"""What a client accepts, by its headers, and how gladly."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import Request


def prefers_html(request: Request, *others: str) -> bool:
    """Whether it is of a browser that opens the address: rather HTML than any of these media types."""
    wanted = qualities(request, "accept")
    return wanted.get("text/html", 0) > max(wanted.get(name, 0) for name in others)


def qualities(request: Request, header: str) -> dict[str, float]:
    """The values in that header, each with its quality from 0 (unacceptable) to 1."""
    found = {}
    for item in ",".join(request.headers.getlist(header)).lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        quality = next((value[2:] for value in parameters if value.startswith("q=")), "1")
        try:
            found[name] = float(quality)
        except ValueError:
            found[name] = 0.0
    return found
