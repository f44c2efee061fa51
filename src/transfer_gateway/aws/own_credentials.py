"""The gateway's own credentials, from botocore's default chain, without prompts and with timeouts."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
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

_RETRY_AFTER_S = 5.0
_AFTER_EXIT_S = 0.5  # to read what it printed: a child may keep its pipes open
# botocore's timeouts are per read: a server that sends byte by byte would block the start forever.
_TIMEOUT_S = 20.0
_PROCESS_TIMEOUT_S = 15.0
# Retrying does not help: a session reads AWS's files only once, and there are no prompts.
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

# Raised in botocore for a malformed credential file, process output or server response.
_MALFORMED = (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError)
_FAILURES = (boto.BotoCoreError, boto.ClientError, aiohttp.ClientError, *_MALFORMED)


class OwnCredentialsError(boto.BotoCoreError):  # type: ignore[misc]  # botocore is untyped
    """No credentials, for a reason that botocore has no exception for."""

    fmt = "{error_msg}"


class OwnCredentials(AioCredentials):  # type: ignore[misc]  # botocore is untyped
    """The chain's credentials. If it has none, the error is cached and the chain is retried every few seconds.

    A pod may start before its credentials are available.
    """

    def __init__(self) -> None:
        super().__init__(access_key="own", secret_key="own", method="own")  # noqa: S106  no secret
        self._session = AioSession()
        # For providers that call a service such as STS; those of containers and instances have their own HTTP client.
        self._session.set_default_client_config(
            AioConfig(http_session_cls=bounded_http(MAX_SMALL_ANSWER_BYTES))
        )
        self._prepared = False
        self._found: Any = None
        self._lock = asyncio.Lock()
        self._failure: Exception | None = None
        self._retry_at = 0.0

    async def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Raises: botocore's errors, including OwnCredentialsError and ClientError, and aiohttp's."""
        self._raise_unless_due()
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                if self._found is None:
                    await self._load_from_chain()
                frozen: ReadOnlyCredentials = await self._found.get_frozen_credentials()
        except _FAILURES as error:
            self._failure = _with_context(error)
            self._retry_at = asyncio.get_running_loop().time() + _RETRY_AFTER_S
            raise self._failure from (None if self._failure is error else error)
        self._failure = None
        return frozen

    async def load_credentials(self) -> OwnCredentials:
        """botocore's interface of a credential chain, which here has a single member."""
        return self

    def _raise_unless_due(self) -> None:
        failure = self._failure
        if failure is not None and (
            isinstance(failure, PERMANENT) or asyncio.get_running_loop().time() < self._retry_at
        ):
            raise failure.with_traceback(None)  # else each raise would extend its traceback

    async def _load_from_chain(self) -> None:
        async with self._lock:
            self._raise_unless_due()  # another caller may have just failed
            if self._found is None:
                if not self._prepared:
                    self._check_files()
                    _prepare(self._session)
                    self._prepared = True
                self._found = await self._session.get_credentials()
        if self._found is None:
            raise OwnCredentialsError(error_msg=self._not_found_message())

    def _check_files(self) -> None:
        """Raises: InvalidConfigError. botocore treats unreadable files as missing."""
        for path in self._files():
            try:
                is_directory = stat.S_ISDIR(path.stat().st_mode)
            except PermissionError:  # a directory above it cannot be searched
                is_directory = False
            except OSError:
                continue  # missing
            if is_directory:
                raise boto.InvalidConfigError(error_msg=f"{path} is a directory")
            if not os.access(path, os.R_OK):
                raise boto.InvalidConfigError(error_msg=f"{path} cannot be read: permission denied")

    def _not_found_message(self) -> str:
        profile = self._session.get_config_variable("profile") or "default"
        missing = ", ".join(str(path) for path in self._files() if not path.exists())
        return (
            "no AWS credentials found in AWS_ACCESS_KEY_ID, in the profile "
            f"{profile}{f' (no such file: {missing})' if missing else ''}, or from a container or an instance"
        )

    def _files(self) -> list[Path]:
        names = ("config_file", "credentials_file")
        return [Path(self._session.get_config_variable(name)).expanduser() for name in names]


def _with_context(error: Exception) -> Exception:
    """The error, replaced if its message does not mention credentials."""
    if isinstance(error, TimeoutError):
        return OwnCredentialsError(error_msg=f"no credential provider answered within {_TIMEOUT_S:g} s")
    is_specific = isinstance(error, boto.BotoCoreError | boto.ClientError | aiohttp.ClientError)
    if isinstance(error, _MALFORMED) and not is_specific:
        return OwnCredentialsError(error_msg=f"{type(error).__name__}: {error}")
    return error


def _prepare(session: AioSession) -> None:
    """Disable prompts and bound processes. Raises: botocore's errors for invalid configuration."""
    providers = session.get_component("credential_provider").providers
    fallback = "a profile with mfa_serial prompts, and a credential_process runs without limits"
    with Check("botocore", fallback=fallback):
        change_credential_providers(session, providers, prompt=_refuse_to_prompt, start=_start)


def _refuse_to_prompt(prompt: str) -> NoReturn:
    mfa_serial = prompt.removeprefix("Enter MFA code for ").rstrip(": ")
    raise boto.InvalidConfigError(
        error_msg=f"the profile needs an MFA code ({mfa_serial}), and the gateway never prompts for one: "
        "use a profile without mfa_serial, or temporary credentials from `aws sts get-session-token`"
    )


async def _start(*command: str, **_pipes: object) -> _CredentialProcess:
    """Start a `credential_process`. It has no stdin and no terminal, so it cannot prompt either."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, start_new_session=True
        )
    except OSError as error:
        raise _process_failed(f"{command[0]}: {error.strerror}") from error
    return _CredentialProcess(process)


class _CredentialProcess:
    """The part of `asyncio.subprocess.Process` that botocore uses, with limits. Cancellation kills the process."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    async def communicate(self) -> tuple[bytes, bytes]:
        """Its stdout and stderr. Raises: CredentialRetrievalError."""
        process = self._process
        out, err = bytearray(), bytearray()
        try:
            async with asyncio.timeout(_PROCESS_TIMEOUT_S), asyncio.TaskGroup() as tasks:
                reading = [
                    tasks.create_task(self._read_all(process.stdout, out)),
                    tasks.create_task(_read_beginning(process.stderr, err)),
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
            message = err.decode(errors="replace").strip() or "nothing on stderr"
            return bytes(out), f"exit code {code}: {message}".encode()
        try:
            is_object = isinstance(json.loads(out), dict)
        except ValueError:
            is_object = False
        if not is_object:
            raise _process_failed("printed something other than a JSON object")
        return bytes(out), bytes(err)

    async def _read_all(self, stream: asyncio.StreamReader | None, into: bytearray) -> None:
        """Read to the end; a process that prints too much is killed."""
        assert stream is not None  # noqa: S101  it is a pipe
        while piece := await stream.read(MAX_SMALL_ANSWER_BYTES):
            into += piece
            if len(into) > MAX_SMALL_ANSWER_BYTES:
                self._kill()
                return

    def _kill(self) -> None:
        with suppress(ProcessLookupError):  # its children too, which may keep the pipes open
            os.killpg(self._process.pid, signal.SIGKILL)


async def _read_beginning(stream: asyncio.StreamReader | None, into: bytearray) -> None:
    """Read to the end, so that the process can go on, and keep the beginning."""
    assert stream is not None  # noqa: S101  it is a pipe
    while piece := await stream.read(MAX_SMALL_ANSWER_BYTES):
        into += piece[: MAX_SMALL_ANSWER_BYTES - len(into)]


def _process_failed(problem: str) -> boto.CredentialRetrievalError:
    return boto.CredentialRetrievalError(provider="credential_process", error_msg=problem)
