"""Sample workflows, and a sample definition and execution."""

import secrets
from dataclasses import dataclass
from enum import StrEnum

from transfer_emulator.response_shaper import Wire
from transfer_emulator.sample_data import Resources, SeededRandom, Store, StoredFile
from transfer_emulator.steps import StepScript

PARTNERS = (
    "acme-bank",
    "globex-corp",
    "initech",
    "umbrella-re",
    "hooli.eu",
    "stark-logistics",
    "wayne@gotham",
)


class Logging(StrEnum):
    """Where a workflow's executions are logged.

    WORKFLOW: to the workflow's StructuredLogDestinations. SERVER: to its server's group, by the server's LoggingRole.
    """

    WORKFLOW = "workflow"
    SERVER = "server"
    BOTH = "both"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class WorkflowScript:
    """A sample workflow: which files arrive, how often, the steps that process them, and who logs that.

    `partial_from`: the subject of the workflow whose server starts this one for incomplete uploads.
    """

    description: str
    store: Store
    subject: str
    suffix: str
    every_s: float
    logging: Logging
    steps: tuple[StepScript, ...]
    on_exception: tuple[StepScript, ...] = ()
    partial_from: str | None = None

    def definition(self, resources: Resources) -> Wire:
        """As returned by DescribeWorkflow, without id and ARN."""
        return {
            "Description": self.description,
            "Steps": [step.definition(resources, self.store) for step in self.steps],
            "OnExceptionSteps": [step.definition(resources, self.store) for step in self.on_exception],
            "Tags": [
                {"Key": "aws:transfer:customer", "Value": self.subject},
                {"Key": "cost-centre", "Value": "4711"},
            ],
        }

    def arriving_file(self, resources: Resources, rng: SeededRandom) -> tuple[StoredFile, str]:
        """A new file and the user who uploaded it."""
        user_name = rng.choice(PARTNERS)
        month, number = rng.randint(1, 12), rng.randint(1, 999_999)
        path = f"inbound/{user_name}/2026/{month:02}/{self.subject}-{number:06}.{self.suffix}"
        home = resources.home(self.store)
        return StoredFile(self.store, home, path, rng.hex(32), rng.hex(32)), user_name


QUARANTINE = StepScript("COPY", "quarantine", "quarantine")
WORKFLOWS = (
    WorkflowScript(
        description="Decrypt validate and archive inbound payments",
        store="S3",
        subject="payments",
        suffix="xml.pgp",
        every_s=17,
        logging=Logging.BOTH,
        steps=(
            StepScript("DECRYPT", "decrypt-pgp", "clear"),
            StepScript("CUSTOM", "validate-iso20022", "validate-payments"),
            StepScript("COPY", "archive", "archive"),
            StepScript("TAG", "tag-as-processed", "processed"),
            StepScript("DELETE", "delete-original"),
        ),
        on_exception=(QUARANTINE, StepScript("TAG", "tag-as-failed", "failed")),
    ),
    WorkflowScript(
        description="Ingest claims documents on EFS",
        store="EFS",
        subject="claims",
        suffix="zip.pgp",
        every_s=23,
        logging=Logging.WORKFLOW,
        steps=(
            StepScript("DECRYPT", "decrypt-pgp", "clear"),
            StepScript("CUSTOM", "virus-scan", "scan-for-viruses"),
            StepScript("COPY", "hand-over", "claims-intake"),
            StepScript("DELETE", "delete-original"),
        ),
        on_exception=(QUARANTINE, StepScript("CUSTOM", "page-operations", "page-operations")),
    ),
    WorkflowScript(
        description="Scan and tag trade confirmations",
        store="S3",
        subject="trades",
        suffix="csv",
        every_s=29,
        logging=Logging.SERVER,
        steps=(
            StepScript("CUSTOM", "virus-scan", "scan-for-viruses"),
            StepScript("TAG", "tag-as-clean", "clean"),
            StepScript("COPY", "to-data-lake", "data-lake"),
        ),
        on_exception=(QUARANTINE, StepScript("DELETE", "delete-infected")),
        partial_from="payments",
    ),
    WorkflowScript(
        description="Distribute EDI orders",
        store="S3",
        subject="orders",
        suffix="edi",
        every_s=37,
        logging=Logging.NONE,
        steps=(
            StepScript("COPY", "to-erp", "erp-inbox"),
            StepScript("COPY", "to-warehouse", "warehouse-inbox"),
            StepScript("CUSTOM", "acknowledge", "send-acknowledgement"),
        ),
    ),
)


def new_workflow_id() -> str:
    return f"w-{secrets.token_hex(9)[:17]}"


def sample_definition(account_id: str, region: str) -> Wire:
    """The definition of the first sample workflow."""
    return WORKFLOWS[0].definition(Resources.of(account_id, region))


def sample_execution(account_id: str, region: str, execution_id: str) -> Wire:
    """An execution of that workflow after two steps, with every member that AWS can return."""
    rng = SeededRandom(execution_id)
    resources = Resources.of(account_id, region)
    file, user_name = WORKFLOWS[0].arriving_file(resources, rng)
    user = {"UserName": user_name, "ServerId": resources.server_id, "SessionId": rng.hex(16)}
    wire = resources.described(execution_id, file, user, resources.logging_by_role(resources.server_id))
    results = []
    for step in WORKFLOWS[0].steps[:2]:
        outputs, file = step.run(file, resources, rng)
        results.append({"StepType": step.step_type, "Outputs": outputs})
    posix = {"Uid": 1001, "Gid": 1001, "SecondaryGids": [2000, 2001]}
    return {**wire, "PosixProfile": posix, "Status": "IN_PROGRESS", "Results": {"Steps": results}}
