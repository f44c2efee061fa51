"""Approximate memory of AWS's answers, in bytes."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from sys import getsizeof
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from transfer_gateway.domain.execution import Execution, ExecutionSummary
    from transfer_gateway.domain.server import Server
    from transfer_gateway.domain.workflow import Workflow, WorkflowSummary

# Measured, without long strings.
_EXECUTION_BYTES, _SUMMARY_BYTES = 3300, 1400
_WORKFLOW_BYTES, _WORKFLOW_STEP_BYTES, _TAG_BYTES, _WORKFLOW_SUMMARY_BYTES = 1000, 600, 200, 350
_SERVER_BYTES = 1000


def execution_bytes(execution: Execution) -> int:
    texts = [execution.execution_role, *_listed_texts(execution)]
    if (logging := execution.logging_configuration) is not None:
        texts += (logging.logging_role, logging.log_group_name)
    if execution.results is not None:
        for step in (*(execution.results.steps or ()), *(execution.results.on_exception_steps or ())):
            texts += (step.outputs, step.raw_step_type)
            if step.error is not None:
                texts += (step.error.message, step.error.raw_type)
    return _EXECUTION_BYTES + _texts_bytes(texts)


def servers_bytes(servers: Sequence[Server]) -> int:
    return _SERVER_BYTES * (1 + len(servers)) + _texts_bytes(_texts_in(tuple(servers)))


def summaries_bytes(summaries: Sequence[ExecutionSummary]) -> int:
    texts = (text for summary in summaries for text in _listed_texts(summary))
    return _SUMMARY_BYTES * (1 + len(summaries)) + _texts_bytes(texts)


def _listed_texts(execution: Execution | ExecutionSummary) -> Iterable[str | None]:
    """The strings of the fields that both types share."""
    texts = [execution.raw_status]
    if (location := execution.initial_file_location) is not None:
        if (s3 := location.s3_file_location) is not None:
            texts += (s3.bucket, s3.key, s3.version_id, s3.etag)
        if (efs := location.efs_file_location) is not None:
            texts += (efs.file_system_id, efs.path)
    if execution.service_metadata is not None:
        user = execution.service_metadata.user_details
        texts += (user.user_name, user.server_id, user.session_id)
    return texts


def _texts_bytes(texts: Iterable[str | None]) -> int:
    return sum(map(getsizeof, filter(None, texts)))


def workflows_bytes(summaries: Sequence[WorkflowSummary]) -> int:
    texts = (text for summary in summaries for text in (summary.arn, summary.description))
    return _WORKFLOW_SUMMARY_BYTES * (1 + len(summaries)) + _texts_bytes(texts)


def definition_bytes(workflow: Workflow) -> int:
    steps = (*(workflow.steps or ()), *(workflow.on_exception_steps or ()))
    tags = len(workflow.tags or ()) + sum(
        len(step.tag_step_details.tags or ()) for step in steps if step.tag_step_details is not None
    )
    return (
        _WORKFLOW_BYTES
        + _WORKFLOW_STEP_BYTES * len(steps)
        + _TAG_BYTES * tags
        + _texts_bytes(_texts_in(workflow))
    )


def _texts_in(value: object) -> Iterator[str]:
    """All strings in a dataclass, at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        for inner in value:
            yield from _texts_in(inner)
    elif is_dataclass(value):
        for member in fields(value):
            yield from _texts_in(getattr(value, member.name))
