"""A script's fan-out: boto3, 64 threads, and a reused client per account.

For bench/compare.py. Reads a list of keys from each line, and prints how many could be described.
"""

import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
from botocore.config import Config

REGION, THREADS = "eu-west-1", 64
CONFIG = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard"})

making = threading.Lock()  # boto3's session is for one thread at a time
sts = boto3.client("sts", region_name=REGION, config=CONFIG.merge(Config(max_pool_connections=THREADS)))
clients: dict[str, Any] = {}


def client(account_id: str) -> Any:  # noqa: ANN401  botocore makes its type as it runs
    if account_id not in clients:
        role = f"arn:aws:iam::{account_id}:role/TransferGatewayReader"
        assumed = sts.assume_role(RoleArn=role, RoleSessionName="threads")["Credentials"]
        with making:
            clients[account_id] = boto3.client(
                "transfer",
                region_name=REGION,
                config=CONFIG,
                aws_access_key_id=assumed["AccessKeyId"],
                aws_secret_access_key=assumed["SecretAccessKey"],
                aws_session_token=assumed["SessionToken"],
            )
    return clients[account_id]


def look(key: dict[str, str]) -> bool:
    """Whether it could be described."""
    try:
        client(key["accountId"]).describe_execution(
            WorkflowId=key["workflowId"], ExecutionId=key["executionId"]
        )
    except Exception:  # noqa: BLE001  denied, throttled or no answer: a script counts what it got, and goes on
        return False
    return True


def main() -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        print("ready", flush=True)
        for line in sys.stdin:
            print(sum(pool.map(look, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
