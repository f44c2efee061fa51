"""Generated sample data: an account's resources in a region, and the files that arrive there."""

import random
from dataclasses import dataclass, replace
from typing import Literal

from transfer_emulator.response_shaper import Wire

Store = Literal["S3", "EFS"]


class SeededRandom(random.Random):
    """A random generator that is seeded with `seeds`: the same ones give the same values."""

    def __init__(self, *seeds: object) -> None:
        super().__init__("/".join(str(seed) for seed in seeds))

    def hex(self, length: int) -> str:
        return f"{self.getrandbits(4 * length):0{length}x}"

    def uuid(self) -> str:
        return "-".join(self.hex(length) for length in (8, 4, 4, 4, 12))


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file in S3 or EFS. `home`: the bucket or the file system id."""

    store: Store
    home: str
    path: str
    version_id: str
    etag: str

    def location(self) -> Wire:
        """The file as InitialFileLocation."""
        if self.store == "EFS":
            return {"EfsFileLocation": {"FileSystemId": self.home, "Path": f"/{self.path}"}}
        return {
            "S3FileLocation": {
                "Bucket": self.home,
                "Key": self.path,
                "VersionId": self.version_id,
                "Etag": self.etag,
            }
        }

    def output(self) -> Wire:
        """The file as in Transfer's workflow logs, the format of step outputs."""
        if self.store == "EFS":
            return {"backingStore": "EFS", "filesystemId": self.home, "path": f"/{self.path}"}
        return {
            "backingStore": "S3",
            "bucket": self.home,
            "key": self.path,
            "versionId": self.version_id,
            "etag": self.etag,
        }

    def log_location(self) -> Wire:
        """The file as in a log entry of an execution's start, which lacks the backing store."""
        return {name: value for name, value in self.output().items() if name != "backingStore"}

    def moved_to(self, home: str, folder: str, rng: SeededRandom, *, decrypted: bool = False) -> "StoredFile":
        name = self.path.rpartition("/")[2]
        if decrypted:
            name = name.removesuffix(".pgp")
        path = f"{folder}/{name}"
        return replace(self, home=home, path=path, version_id=rng.hex(32), etag=rng.hex(32))


@dataclass(frozen=True, slots=True)
class Resources:
    """An account's server, buckets and file system in a region."""

    account_id: str
    region: str
    server_id: str
    landing_bucket: str
    archive_bucket: str
    file_system_id: str

    @classmethod
    def of(cls, account_id: str, region: str) -> "Resources":
        rng = SeededRandom("estate", account_id, region)
        suffix = f"{region}-{account_id}"
        return cls(
            account_id=account_id,
            region=region,
            server_id=f"s-{rng.hex(17)}",
            landing_bucket=f"transfer-landing-{suffix}",
            archive_bucket=f"transfer-archive-{suffix}",
            file_system_id=f"fs-{rng.hex(17)}",
        )

    def home(self, store: Store, *, archive: bool = False) -> str:
        if store == "EFS":
            return self.file_system_id
        return self.archive_bucket if archive else self.landing_bucket

    def role_arn(self, name: str) -> str:
        return f"arn:aws:iam::{self.account_id}:role/{name}"

    def function_arn(self, name: str) -> str:
        return f"arn:aws:lambda:{self.region}:{self.account_id}:function:{name}"

    def server_of(self, subject: str) -> str:
        """The server that receives the files of one workflow."""
        return f"s-{SeededRandom('server', self.account_id, self.region, subject).hex(17)}"

    def log_group_arn(self, name: str) -> str:
        return f"arn:aws:logs:{self.region}:{self.account_id}:log-group:{name}"

    def logging_by_role(self, server_id: str) -> Wire:
        """LoggingConfiguration of an execution that is logged by its server's role."""
        return {"LoggingRole": self.role_arn("transfer-logging"), "LogGroupName": server_log_group(server_id)}

    def described(self, execution_id: str, file: StoredFile, user: Wire, logging: Wire) -> Wire:
        """The members of an execution that do not change while it runs.

        `user`: UserDetails. `logging`: LoggingConfiguration; left out if empty.
        """
        uid = 1001 + int(user["SessionId"][:4], 16) % 999
        posix = {"Uid": uid, "Gid": uid, "SecondaryGids": [2000, 2001]}
        return {
            "ExecutionId": execution_id,
            "InitialFileLocation": file.location(),
            "ServiceMetadata": {"UserDetails": user},
            "ExecutionRole": self.role_arn("transfer-workflow-execution"),
            **({"LoggingConfiguration": logging} if logging else {}),
            **({"PosixProfile": posix} if file.store == "EFS" else {}),
        }


def server_log_group(server_id: str) -> str:
    """The group that a server with a logging role writes to; AWS fixes its name."""
    return f"/aws/transfer/{server_id}"
