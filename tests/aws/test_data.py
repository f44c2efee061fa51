"""botocore's data without unused parts: equal to the original in everything that we use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.loaders import Loader
from botocore.regions import EndpointResolver

from transfer_gateway.aws.botocore_data import data_loader

if TYPE_CHECKING:
    from collections.abc import Iterator

CALLED = ("organizations", "sts", "transfer", "oidc", "portal.sso")


@pytest.mark.parametrize("service", CALLED)
def test_endpoints(service: str) -> None:
    """In every region, including future ones, each service has botocore's endpoint."""
    whole = Loader().load_data("endpoints")
    ours, theirs = EndpointResolver(data_loader().load_data("endpoints")), EndpointResolver(whole)
    regions = {region for partition in whole["partitions"] for region in partition["regions"]}
    for region in [*sorted(regions), "aws-global", "eu-north-9"]:
        for fips in (False, True):
            found, known = (
                resolver.construct_endpoint(service, region, use_fips_endpoint=fips)
                for resolver in (ours, theirs)
            )
            assert found == known, region


@pytest.mark.parametrize("service", ["organizations", "sts", "transfer", "sso"])
@pytest.mark.parametrize("kind", ["service-2", "endpoint-rule-set-1"])
def test_models(service: str, kind: str) -> None:
    """The models are botocore's, without documentation."""
    found = data_loader().load_service_model(service, kind)
    assert found == without_words(Loader().load_service_model(service, kind))
    assert not [text for text in words(found) if isinstance(text, str)]


def test_what_there_is_not() -> None:
    """The error is botocore's own."""
    with pytest.raises(Exception, match="Unable to load data for: nothing") as told:
        data_loader().load_data("nothing")
    assert type(told.value).__module__ == "botocore.exceptions"


def words(data: Any) -> Iterator[Any]:
    if isinstance(data, dict):
        for name, value in data.items():
            if name == "documentation":
                yield value
            yield from words(value)
    elif isinstance(data, list):
        for value in data:
            yield from words(value)


def without_words(data: Any) -> Any:
    if isinstance(data, dict):
        return {
            name: without_words(value)
            for name, value in data.items()
            if name != "documentation" or not isinstance(value, str)
        }
    return [without_words(value) for value in data] if isinstance(data, list) else data
