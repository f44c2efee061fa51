"""The gateway's own credentials: problems are reported at once, in one line, without prompts."""

from __future__ import annotations

import json
import shlex
import sys
import time
from pathlib import Path

import pytest

from command import CLOSED_STDIN, run, run_on_terminal, run_unprivileged, started
from transfer_emulator import Emulator
from wire import calling, place

pytestmark = pytest.mark.early

LOOK_UP = (
    """query($key: ExecutionKey!) { executionOrError(key: $key) { __typename ... on Error { code } } }"""
)


@pytest.fixture
def profile(aws: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """AWS's profile file, the only source of credentials."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    path = tmp_path / "config"
    monkeypatch.setenv("AWS_CONFIG_FILE", str(path))
    monkeypatch.setenv("HOME", str(tmp_path))  # of SSO's cached tokens
    return path


def printing(text: str, code: int = 0, stream: str = "stdout") -> str:
    """A `credential_process`."""
    program = f"import sys; sys.{stream}.write({text!r}); sys.exit({code})"
    return f"credential_process = {shlex.join([sys.executable, '-c', program])}"


SOURCE = "[profile source]\naws_access_key_id = AKIA\naws_secret_access_key = s\n"
ROLE = "role_arn = arn:aws:iam::999999999999:role/R"

WITH_MFA = (
    f"[default]\n{ROLE}\nsource_profile = source\nmfa_serial = arn:aws:iam::999999999999:mfa/me\n{SOURCE}"
)
PERMANENT = [
    pytest.param(
        WITH_MFA,
        "the profile needs an MFA code (arn:aws:iam::999999999999:mfa/me), and the gateway never prompts for one",
        id="mfa",
    ),
    pytest.param(
        f"[default]\n{ROLE}\nsource_profile = a\n"
        f"[profile a]\n{ROLE}\nsource_profile = source\nmfa_serial = arn:aws:iam::999999999999:mfa/me\n{SOURCE}",
        "the profile needs an MFA code (arn:aws:iam::999999999999:mfa/me), and the gateway never prompts for one",
        id="mfa-of-a-source",
    ),
    pytest.param(
        f"[default]\n{ROLE}\nsource_profile = a\n[profile a]\n{ROLE}\nsource_profile = default\n",
        "Infinite loop in credential configuration detected.",
        id="loop",
    ),
    pytest.param(
        f"[default]\n{ROLE}\nsource_profile = absent\n",
        'The source_profile "absent" referenced in the profile "default" does not exist.',
        id="no-source",
    ),
    pytest.param(
        f"[default]\n{ROLE}\n", "Partial credentials found in assume-role, missing:", id="role-of-nobody"
    ),
    pytest.param(
        "[default]\naws_access_key_id = AKIA\n",
        "Partial credentials found in config-file, missing:",
        id="half",
    ),
    pytest.param(
        f"[default]\n{ROLE}\ncredential_source = Nowhere\n",
        'The credential source "Nowhere" referenced in profile "default" is not valid.',
        id="unknown-source",
    ),
    pytest.param(
        "[default]\nsso_session = absent\nsso_account_id = 999999999999\nsso_role_name = R\n",
        'The profile "default" is configured to use the SSO token provider but the "absent" sso_session',
        id="no-sso-session",
    ),
]

PASSING = [
    pytest.param("", "no AWS credentials found in AWS_ACCESS_KEY_ID, in the profile default", id="none"),
    pytest.param(
        f"[default]\n{printing('vault is sealed', 3, 'stderr')}\n",
        "CredentialRetrievalError: Error when retrieving credentials from custom-process: exit code 3: vault is sealed",
        id="process-fails",
    ),
    pytest.param(
        f"[default]\n{printing('', 4)}\n",
        "CredentialRetrievalError: Error when retrieving credentials from custom-process: "
        "exit code 4: nothing on stderr",
        id="process-fails-without-a-word",
    ),
    pytest.param(
        f"[default]\n{printing('no json')}\n",
        "CredentialRetrievalError: Error when retrieving credentials from credential_process: "
        "printed something other than a JSON object",
        id="process-prints-garbage",
    ),
    pytest.param(
        f"[default]\n{printing('[1]')}\n",
        "CredentialRetrievalError: Error when retrieving credentials from credential_process: "
        "printed something other than a JSON object",
        id="process-prints-a-list",
    ),
    pytest.param(
        f"[default]\n{printing('x' * 100_000)}\n",
        "CredentialRetrievalError: Error when retrieving credentials from credential_process: "
        "printed more than 65536 bytes",
        id="process-prints-without-end",
    ),
    pytest.param(
        f"[default]\n{ROLE}\nsource_profile = a\n[profile a]\n{printing('no json')}\n",
        "CredentialRetrievalError: Error when retrieving credentials from credential_process: "
        "printed something other than a JSON object",
        id="process-of-a-source",
    ),
    pytest.param(
        "[default]\ncredential_process = /nowhere/to/be/found\n",
        "CredentialRetrievalError: Error when retrieving credentials from credential_process: "
        "/nowhere/to/be/found: No such file or directory",
        id="no-process",
    ),
    pytest.param(
        f"[default]\n{ROLE}\nweb_identity_token_file = /nowhere/token\n",
        "OwnCredentialsError: FileNotFoundError: [Errno 2] No such file or directory: '/nowhere/token'",
        id="no-token-file",
    ),
    pytest.param(
        "[default]\nsso_start_url = https://sso.example.com\nsso_region = eu-west-1\n"
        "sso_account_id = 999999999999\nsso_role_name = R\n",
        "SSOTokenLoadError: Error loading SSO Token: Token for https://sso.example.com does not exist",
        id="no-sso-login",
    ),
]


@pytest.mark.parametrize(("text", "says"), PERMANENT)
@pytest.mark.parametrize("command", [("serve", "--http-port", "0"), ("check-config", "--assume")])
@pytest.mark.variants(keep=4)
async def test_what_no_wait_mends(
    profile: Path, accounts_file: Path, command: tuple[str, ...], text: str, says: str
) -> None:
    """Permanently invalid configuration ends the command with exit code 2 and the reason."""
    profile.write_text(text)
    code, _, err = await run(
        *command, redirected=CLOSED_STDIN, TRANSFER_GATEWAY_ACCOUNTS_FILE=str(accounts_file)
    )
    assert code == 2
    assert err.splitlines()[-1].startswith(f"error: AWS configuration: {says}")
    assert "Traceback" not in err


async def test_nobody_is_asked_on_a_terminal(profile: Path, accounts_file: Path) -> None:
    """Not even on a terminal."""
    profile.write_text(WITH_MFA)
    code, shown = await run_on_terminal(
        "check-config", "--assume", TRANSFER_GATEWAY_ACCOUNTS_FILE=str(accounts_file)
    )
    assert code == 2
    assert "Enter MFA" not in shown


@pytest.mark.parametrize(("text", "says"), PASSING)
@pytest.mark.variants(keep=3)
async def test_check_config_says_why(profile: Path, accounts_file: Path, text: str, says: str) -> None:
    """check-config reports missing credentials at once, once for all accounts, with the actual reason."""
    profile.write_text(text)
    began = time.monotonic()
    code, out, err = await run(
        "check-config", "--assume", redirected=CLOSED_STDIN, TRANSFER_GATEWAY_ACCOUNTS_FILE=str(accounts_file)
    )
    assert (code, len(out.splitlines())) == (1, 2)
    line = out.splitlines()[1]
    assert line.startswith("AWS credentials: ROLE_NOT_ASSUMABLE: ")
    assert says in line
    assert "Traceback" not in err
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(("text", "says"), PASSING[:4])
@pytest.mark.variants(keep=1)
async def test_serving_says_why(
    aws: Emulator, profile: Path, accounts_file: Path, text: str, says: str
) -> None:
    """The service starts without them, and logs the actual reason at start-up and for requests."""
    profile.write_text(text)
    key = place(aws.world)
    asked = {"accountId": key.account_id, "region": key.region, "workflowId": key.workflow_id}
    asked["executionId"] = key.execution_id
    async with started(
        "serve", "--http-port", "0", TRANSFER_GATEWAY_ACCOUNTS_FILE=str(accounts_file)
    ) as serving:
        async with calling(serving.url) as gateway:
            answer = await gateway.ask(LOOK_UP, key=asked)
        assert answer["data"]["executionOrError"]["code"] == "ROLE_NOT_ASSUMABLE"
        _, log = await serving.stop()
    events = [json.loads(line) for line in log.splitlines()]
    told = {event["event"]: event["detail"] for event in events if "detail" in event}
    assert says in told["own_credentials_missing"]
    assert says in told["role_not_assumed"]
    assert "Unable to locate" not in log
    assert "Traceback" not in log


@pytest.mark.thorough
async def test_a_process_that_hangs_is_ended(profile: Path, accounts_file: Path, tmp_path: Path) -> None:
    """A `credential_process` that does not end is reported, and killed with its children; it has no terminal."""
    told = tmp_path / "pid"
    program = tmp_path / "hang.py"
    program.write_text(
        f"""
import os, subprocess, sys
child = subprocess.Popen(['sleep', '600'])
with open({str(told)!r}, 'w') as told:
    told.write(f'{{os.getpid()}} {{child.pid}} {{os.isatty(0)}}' + sys.stdin.read())
child.wait()
"""
    )
    profile.write_text(f"[default]\ncredential_process = {shlex.join([sys.executable, str(program)])}\n")
    code, out, _ = await run("check-config", "--assume", TRANSFER_GATEWAY_ACCOUNTS_FILE=str(accounts_file))
    assert code == 1
    assert "credential_process: has not ended within 15 s" in out
    parent, child, is_terminal = told.read_text().split()
    assert is_terminal == "False"
    assert not is_running(int(parent))
    assert not is_running(int(child))


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_a_folder_in_place_of_a_file(profile: Path, accounts_file: Path) -> None:
    """botocore would treat it as missing."""
    profile.mkdir()
    code, _, err = await run("check-config", "--assume", TRANSFER_GATEWAY_ACCOUNTS_FILE=str(accounts_file))
    assert (code, err) == (2, f"error: AWS configuration: {profile} is a directory\n")


async def test_a_file_that_may_not_be_read(profile: Path, accounts_file: Path) -> None:
    """The same."""
    profile.write_text("[default]\n")
    profile.chmod(0)
    code, _, err = await run_unprivileged(
        "check-config", "--assume", TRANSFER_GATEWAY_ACCOUNTS_FILE=str(accounts_file)
    )
    assert (code, err) == (2, f"error: AWS configuration: {profile} cannot be read: permission denied\n")


async def test_a_process_with_credentials(aws: Emulator, profile: Path, accounts_file: Path) -> None:
    """A valid one is used."""
    key = aws.world.home_key
    said = {"Version": 1, "AccessKeyId": key.access_key_id, "SecretAccessKey": key.secret}
    profile.write_text(f"[default]\n{printing(json.dumps(said))}\n")
    code, out, err = await run("check-config", "--assume", TRANSFER_GATEWAY_ACCOUNTS_FILE=str(accounts_file))
    assert (code, err) == (0, "")
    assert [line.split().count("ok") for line in out.splitlines()] == [1] * 7


async def test_a_folder_that_may_not_be_searched(
    profile: Path, accounts_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for a file in it."""
    closed = profile.with_name("closed")
    closed.mkdir(mode=0)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(closed / "config"))
    code, _, err = await run_unprivileged(
        "check-config", "--assume", TRANSFER_GATEWAY_ACCOUNTS_FILE=str(accounts_file)
    )
    assert (code, err) == (
        2,
        f"error: AWS configuration: {closed / 'config'} cannot be read: permission denied\n",
    )
