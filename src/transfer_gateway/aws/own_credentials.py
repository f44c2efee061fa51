"""The gateway's own credentials, from botocore's ordinary chain: never by asking a person, and never without end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import aiohttp
from aiobotocore.config import AioConfig
from aiobotocore.credentials import AioCredentials
from aiobotocore.session import AioSession
from botocore import exceptions as boto

from transfer_gateway.aws.botocore_internals import change_credential_providers
from transfer_gateway.aws.receiving import MAX_SMALL_ANSWER_BYTES, bounded_http
from transfer_gateway.library_checks import Check

if TYPE_CHECKING:
    from asyncio.subprocess import Process

    from botocore.credentials import ReadOnlyCredentials

_ASK_AGAIN_AFTER_S = 5.0
_TIMEOUT_S = (
    20.0  # botocore's are for each read: a server that answers byte by byte would block the start for ever
)
_AFTER_EXIT_S = 0.5  # for what it has printed; a child may hold its pipes for longer
_PROCESS_TIMEOUT_S = 15.0
# What no wait mends: a session reads AWS's files once, and nobody is asked for a code.
PERMANENT = (
    boto.ConfigNotFound,
    boto.ConfigParseError,
    boto.InvalidConfigError,
    boto.MissingDependencyException,
    boto.PartialCredentialsError,
    boto.ProfileNotFound,
    boto.RefreshWithMFAUnsupportedError,
    boto.UnknownCredentialError,
)

# What a credential file, a process or a server that makes no sense raises somewhere in botocore.
_GARBAGE = (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError)
_FAILURES = (boto.BotoCoreError, boto.ClientError, aiohttp.ClientError, *_GARBAGE)


class OwnCredentialsError(boto.BotoCoreError):  # type: ignore[misc]  # botocore is untyped
    """There are none for a reason that botocore has no exception for."""

    fmt = "{error_msg}"


class OwnCredentials(AioCredentials):  # type: ignore[misc]  # botocore is untyped
    """The chain's credentials. Where it has none it is asked again every few seconds, and the reason is remembered.

    A pod may start before its credentials are there.
    """

    def __init__(self) -> None:
        super().__init__(access_key="own", secret_key="own", method="own")  # noqa: S106  no secret
        self._session = AioSession()
        # Of the providers that ask a service, such as STS; those that ask the machine itself go by their own.
        self._session.set_default_client_config(
            AioConfig(http_session_cls=bounded_http(MAX_SMALL_ANSWER_BYTES))
        )
        self._prepared = False
        self._found: Any = None
        self._asking = asyncio.Lock()
        self._failure: Exception | None = None
        self._ask_again_at = 0.0

    async def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Raises: botocore's errors, OwnCredentialsError among them; ClientError and aiohttp's, where AWS was asked."""
        self._raise_unless_due()
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                if self._found is None:
                    await self._ask_the_chain()
                frozen: ReadOnlyCredentials = await self._found.get_frozen_credentials()
        except _FAILURES as error:
            self._failure = _explained(error)
            self._ask_again_at = asyncio.get_running_loop().time() + _ASK_AGAIN_AFTER_S
            raise self._failure from (None if self._failure is error else error)
        self._failure = None
        return frozen

    async def load_credentials(self) -> OwnCredentials:
        """As botocore's credential chain: it has but itself."""
        return self

    def _raise_unless_due(self) -> None:
        failure = self._failure
        if failure is not None and (
            isinstance(failure, PERMANENT) or asyncio.get_running_loop().time() < self._ask_again_at
        ):
            raise failure.with_traceback(None)  # else each raise would add to its trace

    async def _ask_the_chain(self) -> None:
        async with self._asking:
            self._raise_unless_due()  # the one before has just been told
            if self._found is None:
                if not self._prepared:
                    self._check_files()
                    _prepare(self._session)
                    self._prepared = True
                self._found = await self._session.get_credentials()
        if self._found is None:
            raise OwnCredentialsError(error_msg=self._looked_at())

    def _check_files(self) -> None:
        """Raises: InvalidConfigError. botocore takes what it can't read for a file that is not there."""
        for path in self._files():
            if path.is_dir():
                raise boto.InvalidConfigError(error_msg=f"{path} is a directory")
            if path.exists() and not os.access(path, os.R_OK):
                raise boto.InvalidConfigError(error_msg=f"{path} cannot be read: permission denied")

    def _looked_at(self) -> str:
        profile = self._session.get_config_variable("profile") or "default"
        missing = ", ".join(str(path) for path in self._files() if not path.exists())
        return (
            "there are no AWS credentials: not in AWS_ACCESS_KEY_ID, not in the profile "
            f"{profile}{f' (no such file: {missing})' if missing else ''}, not from a container or an instance"
        )

    def _files(self) -> list[Path]:
        names = ("config_file", "credentials_file")
        return [Path(self._session.get_config_variable(name)).expanduser() for name in names]


def _explained(error: Exception) -> Exception:
    """The error; of the kinds that say nothing of credentials, one that does."""
    if isinstance(error, TimeoutError):
        return OwnCredentialsError(error_msg=f"no provider of credentials answered within {_TIMEOUT_S:g} s")
    says_enough = isinstance(error, boto.BotoCoreError | boto.ClientError | aiohttp.ClientError)
    if isinstance(error, _GARBAGE) and not says_enough:
        return OwnCredentialsError(error_msg=f"{type(error).__name__}: {error}")
    return error


def _prepare(session: AioSession) -> None:
    """Change what would ask a person, or run without end. Raises: botocore's errors for wrong configuration."""
    providers = session.get_component("credential_provider").providers
    fallback = "a profile with mfa_serial prompts, and a credential_process runs without limits"
    with Check("botocore", fallback=fallback):
        change_credential_providers(session, providers, prompt=_refuse_to_prompt, start=_start)


def _refuse_to_prompt(prompt: str) -> NoReturn:
    mfa_serial = prompt.removeprefix("Enter MFA code for ").rstrip(": ")
    raise boto.InvalidConfigError(
        error_msg=f"the profile needs an MFA code ({mfa_serial}), and the gateway asks nobody for one: "
        "use a profile without mfa_serial, or temporary credentials from `aws sts get-session-token`"
    )


async def _start(*command: str, **_pipes: object) -> _CredentialProcess:
    """A `credential_process`. It has no stdin and no terminal, so that it can ask nobody either."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, start_new_session=True
        )
    except OSError as error:
        raise _process_failed(f"{command[0]}: {error.strerror}") from error
    return _CredentialProcess(process)


class _CredentialProcess:
    """As much of `asyncio.subprocess.Process` as botocore uses, with bounds. It ends when nobody waits for it."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    async def communicate(self) -> tuple[bytes, bytes]:
        """What it printed. Raises: CredentialRetrievalError."""
        process = self._process
        out, said = bytearray(), bytearray()
        try:
            async with asyncio.timeout(_PROCESS_TIMEOUT_S), asyncio.TaskGroup() as tasks:
                reading = [
                    tasks.create_task(self._read_all(process.stdout, out)),
                    tasks.create_task(_read_beginning(process.stderr, said)),
                ]
                code = await process.wait()
                await asyncio.wait(reading, timeout=_AFTER_EXIT_S)
                for task in reading:
                    task.cancel()
        except TimeoutError as error:
            raise _process_failed(f"has not ended within {_PROCESS_TIMEOUT_S:g} s") from error
        finally:
            self._kill()
            await process.wait()
        if len(out) > MAX_SMALL_ANSWER_BYTES:
            raise _process_failed(f"printed more than {MAX_SMALL_ANSWER_BYTES} bytes")
        if code:
            words = said.decode(errors="replace").strip() or "it said nothing"
            return bytes(out), f"exit code {code}: {words}".encode()
        try:
            is_object = isinstance(json.loads(out), dict)
        except ValueError:
            is_object = False
        if not is_object:
            raise _process_failed("printed something other than a JSON object")
        return bytes(out), bytes(said)

    async def _read_all(self, stream: asyncio.StreamReader | None, into: bytearray) -> None:
        """Read to the end; a process that prints too much is killed."""
        assert stream is not None  # noqa: S101  it is a pipe
        while piece := await stream.read(MAX_SMALL_ANSWER_BYTES):
            into += piece
            if len(into) > MAX_SMALL_ANSWER_BYTES:
                self._kill()
                return

    def _kill(self) -> None:
        with suppress(ProcessLookupError):  # its children too, which may hold the pipes
            os.killpg(self._process.pid, signal.SIGKILL)


async def _read_beginning(stream: asyncio.StreamReader | None, into: bytearray) -> None:
    """Read to the end, so that the process can go on, and keep the beginning."""
    assert stream is not None  # noqa: S101  it is a pipe
    while piece := await stream.read(MAX_SMALL_ANSWER_BYTES):
        into += piece[: MAX_SMALL_ANSWER_BYTES - len(into)]


def _process_failed(why: str) -> boto.CredentialRetrievalError:
    return boto.CredentialRetrievalError(provider="credential_process", error_msg=why)
