"""What schemathesis sends for our scalars, and how it checks our responses.

Loaded by schemathesis (SCHEMATHESIS_HOOKS), in an environment without our packages.
"""

import json
import os

import schemathesis
from hypothesis import strategies as st
from schemathesis.graphql import nodes

# As the descriptions in schema.graphql have them.
PATTERNS = {
    "AccountId": r"[0-9]{12}",
    "Region": r"[a-z]{2,4}(-[a-z]+){1,2}-[0-9]{1,2}",
    "WorkflowId": r"w-([a-z0-9]{17})",
    "ExecutionId": r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}",
}
JSON = ("application/json", "application/graphql-response+json")
# An execution in progress, so that what lies behind a found one is tried too.
KEY = json.loads(os.environ["EXECUTION_KEY"])


def mostly(usual, pattern):
    """Seven times in ten the usual value, else one that matches the pattern, or any text."""
    kinds = [st.just(usual)] * 7 + [st.from_regex(pattern, fullmatch=True)] * 2 + [st.text()]
    return st.sampled_from(kinds).flatmap(lambda kind: kind).map(nodes.String)


for name, pattern in PATTERNS.items():
    schemathesis.graphql.scalar(name, mostly(KEY[name[0].lower() + name[1:]], pattern))
schemathesis.graphql.scalar("ID", mostly("/".join(KEY.values()), PATTERNS["AccountId"]))


@schemathesis.check
def well_formed_answer(ctx, response, case):
    """An error with its reason is fine; a server error or malformed response is not."""
    assert response.status_code < 500, response.status_code
    media_type = response.headers["content-type"][0].partition(";")[0]
    assert media_type in JSON, media_type
    try:
        answer = response.json()
    except ValueError:
        raise AssertionError("It is no JSON.") from None
    assert isinstance(answer, dict), answer
    assert answer.keys() <= {"data", "errors", "extensions"}, answer
    assert response.status_code == 200 or "data" not in answer, answer
    errors = answer.get("errors")
    assert errors or (errors is None and answer.get("data") is not None), answer
    for error in errors or ():
        assert error["message"], answer
        assert error["extensions"]["code"] != "INTERNAL_SERVER_ERROR", answer
