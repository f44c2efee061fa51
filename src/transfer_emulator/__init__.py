"""A local AWS emulator: Transfer Family's workflows, their logs and STS, with the real wire protocols.

Here: everything that an AWS client can see, such as signatures, validation, responses, errors and faults.
Not here: anything about the gateway. Nothing imports `transfer_gateway`.

    clock ─ errors ─ request_parser, response_shaper, query_protocol ─ model   wire formats, from botocore's models
    sigv4, identity                                                     authentication
    sample_data ─ steps ─ sample_workflows, uploads ─ scripted_executions, world ─ scenario
                                                                        accounts, servers, workflows, executions
    log_groups ─ log_entries, filter_patterns                           what is logged of them
    sts, transfer, logs                                                 operations
    calls, token_bucket ─ faults ─ corrupt_responses, fault_effects     call counts, quotas and fault injection
    dispatch, control ─ server                                          HTTP
"""

from transfer_emulator.calls import Call, Calls
from transfer_emulator.clock import Clock
from transfer_emulator.corrupt_responses import UNKNOWN_ENUM_VALUE, UNKNOWN_MEMBER_NAME
from transfer_emulator.faults import Fault, FaultKind, Faults
from transfer_emulator.identity import DEFAULT_ROLE_NAME, Account, Role
from transfer_emulator.log_entries import NO_QUIRKS, LogQuirks
from transfer_emulator.log_groups import LogEvent, LogGroup
from transfer_emulator.logs import LogSettings
from transfer_emulator.sample_workflows import WORKFLOWS, Logging, WorkflowScript
from transfer_emulator.scenario import SampleScenario, demo_world
from transfer_emulator.scripted_executions import ScenarioSettings
from transfer_emulator.server import Emulator
from transfer_emulator.uploads import Outcome, Step, Upload
from transfer_emulator.world import World

__all__ = [
    "DEFAULT_ROLE_NAME",
    "NO_QUIRKS",
    "UNKNOWN_ENUM_VALUE",
    "UNKNOWN_MEMBER_NAME",
    "WORKFLOWS",
    "Account",
    "Call",
    "Calls",
    "Clock",
    "Emulator",
    "Fault",
    "FaultKind",
    "Faults",
    "LogEvent",
    "LogGroup",
    "LogQuirks",
    "LogSettings",
    "Logging",
    "Outcome",
    "Role",
    "SampleScenario",
    "ScenarioSettings",
    "Step",
    "Upload",
    "WorkflowScript",
    "World",
    "demo_world",
]
