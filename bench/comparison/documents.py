"""The GraphQL documents."""

from __future__ import annotations

import random
import re

# One execution with all that the schema has of it: 48 fields with those of two steps.
LOOKUP = """
query Lookup($key: ExecutionKey!, $maxAge: Float) {
  executionOrError(key: $key, maxAge: $maxAge) {
    __typename
    ... on Execution {
      id accountId region account { alias } workflowId executionId
      initialFileLocation { s3FileLocation { bucket key versionId etag } efsFileLocation { fileSystemId path } }
      serviceMetadata { userDetails { userName serverId sessionId } }
      executionRole loggingConfiguration { loggingRole logGroupName }
      posixProfile { uid gid secondaryGids } status rawStatus
      results {
        steps { stepType rawStepType outputs error { type rawType message } }
        onExceptionSteps { stepType rawStepType outputs error { type rawType message } }
      }
      observedAt
    }
    ... on Error { code message }
  }
}
"""

MANY = """
query Many($keys: [ExecutionKey!]!, $maxAge: Float) {
  executions(keys: $keys, maxAge: $maxAge) {
    __typename
    ... on Execution { id status results { steps { stepType outputs } } observedAt }
    ... on Error { code message }
  }
}
"""

_LEAF = re.compile(r"(?<=[{\s])\w+(?=\s)(?!\s*[{(:])")
_ALWAYS = {"id", "alias", "bucket", "fileSystemId", "userName", "loggingRole", "uid", "stepType", "type"}


def selections(count: int) -> list[str]:
    """That many documents like LOOKUP, each with a random selection of its leaves."""
    dice = random.Random(7)
    head, inner = LOOKUP.split("... on Execution {", 1)
    inner, tail = inner.split("... on Error", 1)
    found: dict[str, None] = {}
    while len(found) < count:
        chosen = _LEAF.sub(lambda leaf: leaf[0] if leaf[0] in _ALWAYS or dice.random() < 0.8 else "", inner)
        found[f"{head}... on Execution {{{' '.join(chosen.split())}\n    ... on Error{tail}"] = None
    return list(found)
