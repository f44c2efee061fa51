"""Sends requests to both servers of a running demo, to check what was built."""

from __future__ import annotations

import json
import re
from urllib.request import Request, urlopen

import grpc

from transfer_api.v1 import execution_service_pb2 as api
from transfer_api.v1.execution_service_pb2_grpc import ExecutionServiceStub


def doors(printed: str) -> tuple[str, str]:
    """The HTTP server's URL and the gRPC server's address, from the output of `demo` or `serve`."""
    url, address = re.search(r"(http://\S+)/graphql", printed), re.search(r"gRPC:? +(\S+)", printed)
    assert url, printed
    assert address, printed
    return url[1], address[1]


def demo_answers(printed: str) -> str:
    """The id of an execution that both servers return. The pages are served, too; `/` leads to that for people."""
    url, address = doors(printed)
    for path, files in {"/graphql": b"graphiql/assets/", "/": b"executions/assets/"}.items():
        with urlopen(Request(f"{url}{path}", headers={"accept": "text/html"})) as page:
            assert files in page.read()
    query = {"query": "{ inProgressExecutions(first: 1) { edges { node { id status } } } }"}
    request = Request(f"{url}/graphql", json.dumps(query).encode(), {"content-type": "application/json"})
    with urlopen(request) as response:
        (edge,) = json.load(response)["data"]["inProgressExecutions"]["edges"]
    execution: str = edge["node"]["id"]
    with grpc.insecure_channel(address) as channel:
        wanted = api.FindExecutionRequest(execution_id=execution.rpartition("/")[2])
        assert ExecutionServiceStub(channel).FindExecution(wanted, timeout=10).execution.id == execution
    return execution
