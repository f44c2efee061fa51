"""AWS's partitions: separate clouds, such as China's. Credentials of one are not valid in another.

Source: botocore's `partitions.json`; a test compares the two.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from transfer_gateway.domain.identity import Region

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Partition:
    """`id` is the second part of each ARN there; `global_region` the home of services without regions."""

    id: str
    regions: re.Pattern[str]
    global_region: Region


PARTITIONS = tuple(
    Partition(name, re.compile(regions, re.ASCII), Region(global_region))
    for name, regions, global_region in (
        ("aws", r"(us|eu|ap|sa|ca|me|af|il|mx)-\w+-\d+", "us-east-1"),
        ("aws-cn", r"cn-\w+-\d+", "cn-northwest-1"),
        ("aws-eusc", r"eusc-(de)-\w+-\d+", "eusc-de-east-1"),
        ("aws-iso", r"us-iso-\w+-\d+", "us-iso-east-1"),
        ("aws-iso-b", r"us-isob-\w+-\d+", "us-isob-east-1"),
        ("aws-iso-e", r"eu-isoe-\w+-\d+", "eu-isoe-west-1"),
        ("aws-iso-f", r"us-isof-\w+-\d+", "us-isof-south-1"),
        ("aws-us-gov", r"us-gov-\w+-\d+", "us-gov-west-1"),
    )
)


def partition_of(region: str) -> Partition:
    """The partition of a region, or of a name such as `aws-global`; for unknown ones the first, as in botocore."""
    for partition in PARTITIONS:
        if partition.regions.fullmatch(region) or region == f"{partition.id}-global":
            return partition
    return PARTITIONS[0]


def foreign_region(regions: Iterable[Region]) -> tuple[Region, Region] | None:
    """The first region, and the first one in another partition; None if all are in the same."""
    first = None
    for region in regions:
        first = first or region
        if partition_of(region) is not partition_of(first):
            return first, region
    return None


def partition_of_arn(arn: str) -> str:
    return arn.split(":", 2)[1]
