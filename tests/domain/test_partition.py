"""AWS's partitions, compared with botocore's own data."""

from __future__ import annotations

from typing import Any

import botocore.loaders
import pytest

from transfer_gateway.domain.identity import Region
from transfer_gateway.domain.partition import PARTITIONS, foreign_region, partition_of

BOTOCORE = botocore.loaders.create_loader().load_data("partitions")["partitions"]


def test_the_same_as_botocores() -> None:
    """Each of botocore's partitions is here, with its regions' pattern and the region of its global services."""
    theirs = {
        (it["id"], it["regionRegex"].replace(r"\-", "-"), it["outputs"]["implicitGlobalRegion"])
        for it in BOTOCORE
    }
    assert {(it.id, f"^{it.regions.pattern}$", it.global_region) for it in PARTITIONS} == theirs


@pytest.mark.parametrize("partition", BOTOCORE, ids=lambda partition: partition["id"])
def test_every_region(partition: dict[str, Any]) -> None:
    """Each region that botocore knows, pseudo-regions included, is in its partition."""
    assert {partition_of(region).id for region in partition["regions"]} == {partition["id"]}


def test_foreign_region() -> None:
    """Regions of one partition pass; otherwise the first foreign one is returned. Unknown regions count as `aws`."""
    assert foreign_region(map(Region, ["eu-west-1", "us-east-1", "nz-north-1"])) is None
    assert foreign_region(map(Region, ["eu-west-1", "us-gov-west-1"])) == ("eu-west-1", "us-gov-west-1")
    assert foreign_region([]) is None
