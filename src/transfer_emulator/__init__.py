"""A local AWS: Transfer Family's workflows and STS on the real wire protocols.

Here belongs what a client of AWS can see: signatures, validation, answers, errors, and the ways in which
all of that goes wrong. What a gateway makes of it does not: nothing here knows `transfer_gateway`.

    clock ─ errors ─ reading, writing, query ─ model     a service's wire, as botocore's model has it
    sigv4, identity                                      who signs
    sample_names ─ steps ─ sample_workflows ─ world ─ scenario   what there is
    sts, transfer                                        the operations
    calls, faults, damage                                what is counted, what goes wrong
    dispatch, control ─ server                              HTTP
"""

from transfer_emulator.calls import Call, Calls
from transfer_emulator.clock import Clock
from transfer_emulator.damage import UNKNOWN_ENUM_VALUE, UNKNOWN_MEMBER_NAME
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
