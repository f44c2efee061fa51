"""AWS's own variables and files: what is wrong with them is told in one line, and nothing is started."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from command import run

if TYPE_CHECKING:
    from pathlib import Path


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
async def test_wrong_aws_configuration(accounts_file: Path, name: str, value: str, says: str) -> None:
    """A profile, region, endpoint or mode that makes no sense ends `serve` with exit code 2 and says so."""
    value = value.format(accounts_file=accounts_file)  # a file, but no configuration of AWS's
    environment = {"TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file), name: value}
    code, out, err = await run("serve", "--http-port", "0", **environment)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith("error: AWS configuration: ")
    assert says in err
    assert "Traceback" not in err
