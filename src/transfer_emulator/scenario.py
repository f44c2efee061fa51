"""Scripted executions that start, progress and end as a function of time.

Nothing runs in the background. A workflow's executions are a function of (seed, target, workflow, time slot), and an
execution's state is a function of (its plan, now). So the same seed gives the same data at the same time.
"""

from bisect import bisect_right
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import accumulate

from transfer_emulator.identity import DEFAULT_ROLE_NAME, Role
from transfer_emulator.response_shaper import Wire
from transfer_emulator.sample_data import Resources, SeededRandom, StoredFile
from transfer_emulator.sample_workflows import WORKFLOWS, WorkflowScript
from transfer_emulator.world import ScriptedExecution, Workflow, World

MIN_DURATION_S, USUAL_DURATION_S, MAX_DURATION_S = 20.0, 60.0, 180.0
FAILING_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Plan:
    """One execution from start to end.

    `results`: of the steps, then of the on-exception steps (from index `handling_from` on). `done_at`: when each result
    appears; the execution disappears at the last one.
    """

    execution_id: str
    started_at: float
    constant: Wire
    results: list[Wire]
    handling_from: int
    done_at: list[float]

    @property
    def ends_at(self) -> float:
        return self.done_at[-1]

    def wire(self, now: float) -> Wire:
        """As returned by DescribeExecution at `now`, which is between start and end."""
        done = bisect_right(self.done_at, now)
        steps = self.results[: min(done, self.handling_from)]
        handled = self.results[self.handling_from : done]
        handling = self.handling_from < len(self.results) and done >= self.handling_from
        # The model does not allow an empty list of steps.
        results = ({"Steps": steps} if steps else {}) | ({"OnExceptionSteps": handled} if handled else {})
        status = "HANDLING_EXCEPTION" if handling else "IN_PROGRESS"
        return {**self.constant, "Status": status, "Results": results}


@dataclass(slots=True)
class ScriptedExecutions:
    """A workflow's executions: one starts at a random time in each slot of `script.every_s` seconds."""

    seed: int
    resources: Resources
    script: WorkflowScript
    _plans: dict[int, Plan] = field(default_factory=dict)  # by slot; without ended ones
    _running: dict[str, ScriptedExecution] = field(default_factory=dict)
    _running_from: float = 0.0
    _running_until: float = 0.0

    def running(self, now: float) -> dict[str, ScriptedExecution]:
        """Executions in progress at `now`, by id; recomputed only after one has started or ended."""
        if not self._running_from <= now < self._running_until:
            every_s = self.script.every_s
            slots = range(int((now - MAX_DURATION_S) // every_s) - 1, int(now // every_s) + 1)
            self._plans = {slot: self._plans.get(slot) or self._plan(slot) for slot in slots}
            plans = self._plans.values()
            self._running = {
                plan.execution_id: plan for plan in plans if plan.started_at <= now < plan.ends_at
            }
            changes = [time for plan in plans for time in (plan.started_at, plan.ends_at) if time > now]
            self._running_from, self._running_until = now, min([*changes, slots.stop * every_s])
        return self._running

    def _plan(self, slot: int) -> Plan:
        rng = SeededRandom(
            self.seed, self.resources.account_id, self.resources.region, self.script.subject, slot
        )
        execution_id = rng.uuid()
        started_at = (slot + rng.random()) * self.script.every_s
        first_file, user_name = self.script.arriving_file(self.resources, rng)
        results, handling_from = self._outcome(first_file, rng)
        weights = [rng.uniform(0.5, 1.5) for _ in results]
        duration_s = rng.triangular(MIN_DURATION_S, MAX_DURATION_S, USUAL_DURATION_S)
        return Plan(
            execution_id=execution_id,
            started_at=started_at,
            constant=self.resources.described(execution_id, first_file, user_name, rng),
            results=results,
            handling_from=handling_from,
            done_at=[started_at + duration_s * part / sum(weights) for part in accumulate(weights)],
        )

    def _outcome(self, file: StoredFile, rng: SeededRandom) -> tuple[list[Wire], int]:
        """The results of all steps that will run, and how many of them precede the on-exception steps."""
        steps, results = self.script.steps, []
        failing = rng.randrange(len(steps)) if rng.random() < FAILING_SHARE else None
        for step in steps[:failing]:
            result, file = step.run(file, self.resources, rng)
            results.append(result)
        if failing is None:
            return results, len(results)
        results.append(steps[failing].fail(rng))
        handling_from = len(results)
        for step in self.script.on_exception:
            result, file = step.run(file, self.resources, rng)
            results.append(result)
        return results, handling_from


@dataclass(frozen=True, slots=True)
class SampleScenario:
    """The same four workflows in every target, with different ids, files and executions."""

    seed: int

    def workflows(self, account_id: str, region: str) -> list[Workflow]:
        resources = Resources.of(account_id, region)
        return [self._workflow(resources, script) for script in WORKFLOWS]

    def _workflow(self, resources: Resources, script: WorkflowScript) -> Workflow:
        workflow_id = (
            f"w-{SeededRandom(self.seed, resources.account_id, resources.region, script.subject).hex(17)}"
        )
        arn = f"arn:aws:transfer:{resources.region}:{resources.account_id}:workflow/{workflow_id}"
        definition = {"WorkflowId": workflow_id, "Arn": arn, **script.definition(resources)}
        return Workflow(workflow_id, definition, ScriptedExecutions(self.seed, resources, script))


def demo_world(seed: int, accounts: int, regions: tuple[str, ...]) -> World:
    """A world with executions in all accounts. The second account's role requires the external id "x-42"."""
    world = World("999999999999", regions, SampleScenario(seed))
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
