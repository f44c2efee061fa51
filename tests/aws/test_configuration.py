"""AWS's own variables and files: a problem is reported in one line, and the service does not start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from command import run

if TYPE_CHECKING:
    from pathlib import Path

    from transfer_emulator import Emulator


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("AWS_PROFILE", "nonsense", "nonsense"),
        ("AWS_DEFAULT_REGION", "not a region!", "not a region!"),
        ("AWS_ENDPOINT_URL_STS", "foo", "foo"),
        ("AWS_ENDPOINT_URL_TRANSFER", "foo", "foo"),
        ("AWS_DEFAULTS_MODE", "zzz", "zzz"),
        ("AWS_CONFIG_FILE", "{accounts_file}", "Unable to parse config file"),
    ],
)
@pytest.mark.variants(keep=2)
async def test_wrong_aws_configuration(accounts_file: Path, name: str, value: str, says: str) -> None:
    """An invalid profile, region, endpoint or mode ends `serve` with exit code 2 and the reason."""
    value = value.format(accounts_file=accounts_file)  # a file, but no configuration of AWS's
    environment = {"TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file), name: value}
    code, out, err = await run("serve", "--http-port", "0", **environment)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith("error: AWS configuration: ")
    assert says in err
    assert "Traceback" not in err


@pytest.mark.parametrize("name", ["AWS_DEFAULT_REGION", "TRANSFER_GATEWAY_STS_REGION"])
async def test_sts_in_another_partition(aws: Emulator, accounts_file: Path, name: str) -> None:
    """An STS region that can assume no account's role is rejected."""
    environment = {"TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file)}
    code, _, err = await run("check-config", "--assume", **environment, **{name: "cn-north-1"})
    problem = "cn-north-1 is in partition aws-cn, but the accounts' eu-west-1 is in aws"
    assert (code, err) == (2, f"error: TRANSFER_GATEWAY_STS_REGION, or AWS_DEFAULT_REGION: {problem}\n")
    assert aws.calls.by_call() == {}
