"""The sample scenario: each target's servers, workflows and log groups, with scripted executions."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

from transfer_emulator.identity import DEFAULT_ROLE_NAME, Role
from transfer_emulator.log_groups import CREATED_AT, LogGroup
from transfer_emulator.response_shaper import Wire
from transfer_emulator.sample_data import Resources, SeededRandom, server_log_group
from transfer_emulator.sample_workflows import WORKFLOWS, Logging, WorkflowScript
from transfer_emulator.scripted_executions import Route, ScenarioSettings, ScriptedExecutions
from transfer_emulator.uploads import Destination, Mechanism
from transfer_emulator.world import Target, Workflow, World

# Several workflows share it.
WORKFLOWS_LOG_GROUP = "/aws/vendedlogs/transfer/workflows"


@dataclass(frozen=True, slots=True)
class SampleScenario:
    """The same workflows in every target, with different ids, files and executions, each with a server."""

    seed: int
    scripts: Sequence[WorkflowScript] = WORKFLOWS
    settings: ScenarioSettings = field(default_factory=ScenarioSettings)

    def fill(self, target: Target) -> None:
        """Create the target's servers, workflows and log groups."""
        resources = Resources.of(target.account_id, target.region)
        scripts = self._scripts_in(target.account_id)
        workflow_ids = {script.subject: self._workflow_id(resources, script.subject) for script in scripts}
        routes = {script.subject: [_route(resources, script)] for script in scripts}
        for script in scripts:
            partial_id = None
            for other in scripts:
                if other.partial_from == script.subject:
                    partial_id = workflow_ids[other.subject]
                    route = _route(resources, script, other)
                    routes[other.subject].append(replace(route, is_partial=True))
            server_id = resources.server_of(script.subject)
            target.servers[server_id] = _server(
                resources, server_id, script, workflow_ids[script.subject], partial_id
            )
        idle_id = resources.server_of("idle")
        target.servers[idle_id] = _server(resources, idle_id)
        for script in scripts:
            self._add_workflow(
                target, resources, script, workflow_ids[script.subject], tuple(routes[script.subject])
            )

    def _scripts_in(self, account_id: str) -> Sequence[WorkflowScript]:
        if account_id not in self.settings.all_logged_in:
            return self.scripts
        return [
            replace(script, logging=Logging.WORKFLOW) if script.logging is Logging.NONE else script
            for script in self.scripts
        ]

    def _workflow_id(self, resources: Resources, subject: str) -> str:
        return f"w-{SeededRandom(self.seed, resources.account_id, resources.region, subject).hex(17)}"

    def _add_workflow(
        self,
        target: Target,
        resources: Resources,
        script: WorkflowScript,
        workflow_id: str,
        routes: tuple[Route, ...],
    ) -> None:
        definition = {
            "WorkflowId": workflow_id,
            "Arn": f"arn:aws:transfer:{resources.region}:{resources.account_id}:workflow/{workflow_id}",
            **script.definition(resources),
        }
        if script.logging in {Logging.WORKFLOW, Logging.BOTH}:
            definition["StructuredLogDestinations"] = _log_destinations(resources)
        executions = ScriptedExecutions(self.seed, resources, script, workflow_id, routes, self.settings)
        target.workflows[workflow_id] = Workflow(workflow_id, definition, executions)
        names = {destination.group_name for route in routes for destination in route.destinations}
        for name in sorted(names):
            created_at = max(CREATED_AT, self.settings.history_from)
            group = target.log_groups.setdefault(name, LogGroup(name, self.settings.retention_s, created_at))
            group.sources.append(executions)


def _route(resources: Resources, at: WorkflowScript, of: WorkflowScript | None = None) -> Route:
    """Of files that arrive at the server of `at` for the workflow `of` (default: the same)."""
    server_id = resources.server_of(at.subject)
    destinations: list[Destination] = []
    if (of or at).logging in {Logging.WORKFLOW, Logging.BOTH}:
        destinations.append(Destination(WORKFLOWS_LOG_GROUP, Mechanism.WORKFLOW))
    if at.logging in {Logging.SERVER, Logging.BOTH}:
        group_name = server_log_group(server_id)
        destinations.append(Destination(group_name, Mechanism.SERVER))
        destinations.append(Destination(group_name, Mechanism.SESSIONS))
    if at.logging is Logging.WORKFLOW:  # such a server's own setting is for sessions
        destinations.append(Destination(WORKFLOWS_LOG_GROUP, Mechanism.SESSIONS))
    return Route(server_id, tuple(destinations))


def _log_destinations(resources: Resources) -> list[str]:
    return [resources.log_group_arn(WORKFLOWS_LOG_GROUP) + ":*"]


def _server(
    resources: Resources,
    server_id: str,
    script: WorkflowScript | None = None,
    workflow_id: str | None = None,
    partial_id: str | None = None,
) -> Wire:
    """As returned by DescribeServer. Without `script`: a server without workflow and without logs."""
    role = resources.role_arn("transfer-workflow-execution")
    attached = {"OnUpload": workflow_id, "OnPartialUpload": partial_id}
    details = {
        name: [{"WorkflowId": attached_id, "ExecutionRole": role}]
        for name, attached_id in attached.items()
        if attached_id is not None
    }
    logging = script.logging if script else Logging.NONE
    server: Wire = {
        "Arn": f"arn:aws:transfer:{resources.region}:{resources.account_id}:server/{server_id}",
        "Domain": script.store if script else "S3",
        "EndpointType": "PUBLIC",
        "HostKeyFingerprint": "SHA256:AAAAB3NzaC1yc2EAAAADAQABAAABAQ",
        "IdentityProviderType": "SERVICE_MANAGED",
        "Protocols": ["SFTP"],
        "SecurityPolicyName": "TransferSecurityPolicy-2024-01",
        "ServerId": server_id,
        "State": "ONLINE",
        "UserCount": 7,
        "Tags": [{"Key": "cost-centre", "Value": "4711"}],
    }
    if details:
        server["WorkflowDetails"] = details
    if logging in {Logging.SERVER, Logging.BOTH}:
        server["LoggingRole"] = resources.role_arn("transfer-logging")
    if logging is Logging.WORKFLOW:
        server["StructuredLogDestinations"] = _log_destinations(resources)
    return server


def demo_world(
    seed: int,
    accounts: int,
    regions: tuple[str, ...],
    settings: ScenarioSettings | None = None,
    scripts: Sequence[WorkflowScript] = WORKFLOWS,
) -> World:
    """A world with executions in all accounts. The second account's role requires the external id "x-42"."""
    scenario = SampleScenario(seed, scripts, settings or ScenarioSettings())
    world = World("999999999999", regions, scenario)
    for number in range(1, accounts + 1):
        external_id = "x-42" if number == 2 else None  # noqa: PLR2004 - the only one with an external id
        trusted = (f"arn:aws:iam::{world.home_account_id}:root",)
        world.add_account(_account_id(number), [Role(DEFAULT_ROLE_NAME, trusted, external_id)])
    return world


def _account_id(number: int) -> str:
    """111111111111 to 888888888888, then hashed ids (999999999999 is the caller's own account)."""
    if number < 9:  # noqa: PLR2004 - see above
        return str(number) * 12
    return f"{int(sha256(str(number).encode()).hexdigest(), 16) % 10**12:012}"
