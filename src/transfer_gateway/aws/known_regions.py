"""Which regions the installed botocore knows. AWS has newer ones, so an unknown region is never refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transfer_gateway.aws.client import data

if TYPE_CHECKING:
    from collections.abc import Iterable

    from transfer_gateway.domain.identity import Region


def unknown_regions(regions: Iterable[Region]) -> list[Region]:
    """Those of no partition's list, in the given order. Source: botocore's `partitions.json`."""
    partitions = data().load_data("partitions")["partitions"]
    known = {region for partition in partitions for region in partition["regions"]}
    return [region for region in dict.fromkeys(regions) if region not in known]
