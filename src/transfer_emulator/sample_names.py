"""Names that look like a company's own: what one account has in one region, and the files that arrive there."""

import random
from dataclasses import dataclass, replace
from typing import Literal

from transfer_emulator.writing import Wire

Store = Literal["S3", "EFS"]


class Dice(random.Random):
    """Reproducible choices: the same words give the same dice."""

    def __init__(self, *words: object) -> None:
        super().__init__("/".join(str(word) for word in words))

    def hex(self, length: int) -> str:
        return f"{self.getrandbits(4 * length):0{length}x}"

    def uuid(self) -> str:
        return "-".join(self.hex(length) for length in (8, 4, 4, 4, 12))


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file where a step finds or leaves it. `home` is the bucket, or the file system's id."""

    store: Store
    home: str
    path: str
    version_id: str
    etag: str

    def location(self) -> Wire:
        """As InitialFileLocation."""
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
        """As Transfer's workflow logs spell a file, which is how a step reports where it left one."""
        if self.store == "EFS":
            return {"backingStore": "EFS", "filesystemId": self.home, "path": f"/{self.path}"}
        return {
            "backingStore": "S3",
            "bucket": self.home,
            "key": self.path,
            "versionId": self.version_id,
            "etag": self.etag,
        }

    def moved(self, home: str, folder: str, dice: Dice, *, decrypted: bool = False) -> "StoredFile":
        name = self.path.rpartition("/")[2]
        if decrypted:
            name = name.removesuffix(".pgp")
        path = f"{folder}/{name}"
        return replace(self, home=home, path=path, version_id=dice.hex(32), etag=dice.hex(32))


@dataclass(frozen=True, slots=True)
class Estate:
    """One account's server, buckets and file system in one region."""

    account_id: str
    region: str
    server_id: str
    landing_bucket: str
    archive_bucket: str
    file_system_id: str

    @classmethod
    def of(cls, account_id: str, region: str) -> "Estate":
        dice = Dice("estate", account_id, region)
        suffix = f"{region}-{account_id}"
        return cls(
            account_id=account_id,
            region=region,
            server_id=f"s-{dice.hex(17)}",
            landing_bucket=f"transfer-landing-{suffix}",
            archive_bucket=f"transfer-archive-{suffix}",
            file_system_id=f"fs-{dice.hex(17)}",
        )

    def home(self, store: Store, *, archive: bool = False) -> str:
        if store == "EFS":
            return self.file_system_id
        return self.archive_bucket if archive else self.landing_bucket

    def role_arn(self, name: str) -> str:
        return f"arn:aws:iam::{self.account_id}:role/{name}"

    def function_arn(self, name: str) -> str:
        return f"arn:aws:lambda:{self.region}:{self.account_id}:function:{name}"

    def described(self, execution_id: str, file: StoredFile, user_name: str, dice: Dice) -> Wire:
        """The members of an execution that stay the same while it runs."""
        uid = dice.randint(1001, 1999)
        posix = {"Uid": uid, "Gid": uid, "SecondaryGids": [2000, 2001]}
        return {
            "ExecutionId": execution_id,
            "InitialFileLocation": file.location(),
            "ServiceMetadata": {
                "UserDetails": {
                    "UserName": user_name,
                    "ServerId": self.server_id,
                    "SessionId": dice.hex(16),
                }
            },
            "ExecutionRole": self.role_arn("transfer-workflow-execution"),
            "LoggingConfiguration": {
                "LoggingRole": self.role_arn("transfer-logging"),
                "LogGroupName": f"/aws/transfer/{self.server_id}",
            },
            **({"PosixProfile": posix} if file.store == "EFS" else {}),
        }
