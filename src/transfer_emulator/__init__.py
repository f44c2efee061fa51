"""A local AWS emulator: Transfer Family's workflows and STS, with the real wire protocols.

Here: everything that an AWS client can see, such as signatures, validation, responses, errors and faults.
Not here: anything about the gateway. Nothing imports `transfer_gateway`.

    clock ─ errors ─ request_parser, response_shaper, query_protocol ─ model   wire formats, from botocore's models
    sigv4, identity                                                     authentication
    sample_data ─ steps ─ sample_workflows ─ world ─ scenario           accounts, workflows, executions
    sts, transfer                                                       operations
    calls, faults, corrupt_responses                                    call counts and fault injection
    dispatch, control ─ server                                          HTTP
"""

from transfer_emulator.calls import Call, Calls
from transfer_emulator.clock import Clock
from transfer_emulator.corrupt_responses import UNKNOWN_ENUM_VALUE, UNKNOWN_MEMBER_NAME
from transfer_emulator.faults import Fault, FaultKind, Faults
from transfer_emulator.identity import DEFAULT_ROLE_NAME, Account, Role
from transfer_emulator.scenario import demo_world
from transfer_emulator.server import Emulator
from transfer_emulator.world import World

__all__ = [
    "DEFAULT_ROLE_NAME",
    "UNKNOWN_ENUM_VALUE",
    "UNKNOWN_MEMBER_NAME",
    "Account",
    "Call",
    "Calls",
    "Clock",
    "Emulator",
    "Fault",
    "FaultKind",
    "Faults",
    "Role",
    "World",
    "demo_world",
]
