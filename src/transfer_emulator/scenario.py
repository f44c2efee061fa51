"""A company's day: executions that start, move through their steps and vanish, all by the clock.

Nothing runs in the background. A workflow's arrivals are a function of (seed, target, workflow, time slot),
an execution's state is a function of (its plan, now); so the same seed shows the same at the same time.
"""

from bisect import bisect_right
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import accumulate

from transfer_emulator.identity import DEFAULT_ROLE_NAME, Role
from transfer_emulator.sample_names import Dice, Estate, StoredFile
from transfer_emulator.sample_workflows import WORKFLOWS, WorkflowScript
from transfer_emulator.world import ScriptedExecution, Workflow, World
from transfer_emulator.writing import Wire

MIN_DURATION_S, USUAL_DURATION_S, MAX_DURATION_S = 20.0, 60.0, 180.0
FAILING_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Plan:
    """One execution from its start to its end.

    `results` are the entries of the steps and then of the on-exception steps (from index `handling_from`
    on), `done_at` the times at which they appear; at the last of them the execution vanishes.
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
        """As DescribeExecution shows it at `now`, which is between start and end."""
        done = bisect_right(self.done_at, now)
        steps = self.results[: min(done, self.handling_from)]
        handled = self.results[self.handling_from : done]
        handling = self.handling_from < len(self.results) and done >= self.handling_from
        # The model has no empty list of steps: before the first is done there is none.
        results = ({"Steps": steps} if steps else {}) | ({"OnExceptionSteps": handled} if handled else {})
        status = "HANDLING_EXCEPTION" if handling else "IN_PROGRESS"
        return {**self.constant, "Status": status, "Results": results}


@dataclass(slots=True)
class ScriptedArrivals:
    """A workflow's executions: one starts in every slot of `script.every_s` seconds, at any time within it."""

    seed: int
    estate: Estate
    script: WorkflowScript
    _plans: dict[int, Plan] = field(default_factory=dict)  # by slot; none that is over
    _running: dict[str, ScriptedExecution] = field(default_factory=dict)
    _running_from: float = 0.0
    _running_until: float = 0.0

    def running(self, now: float) -> dict[str, ScriptedExecution]:
        """Those in progress at `now`, by id; worked out anew only when one has started or ended since."""
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
        dice = Dice(self.seed, self.estate.account_id, self.estate.region, self.script.subject, slot)
        execution_id = dice.uuid()
        started_at = (slot + dice.random()) * self.script.every_s
        first_file, user_name = self.script.arriving_file(self.estate, dice)
        results, handling_from = self._outcome(first_file, dice)
        weights = [dice.uniform(0.5, 1.5) for _ in results]
        duration_s = dice.triangular(MIN_DURATION_S, MAX_DURATION_S, USUAL_DURATION_S)
        return Plan(
            execution_id=execution_id,
            started_at=started_at,
            constant=self.estate.described(execution_id, first_file, user_name, dice),
            results=results,
            handling_from=handling_from,
            done_at=[started_at + duration_s * part / sum(weights) for part in accumulate(weights)],
        )

    def _outcome(self, file: StoredFile, dice: Dice) -> tuple[list[Wire], int]:
        """The entries of all steps that will run, and how many of them come before the on-exception steps."""
        steps, results = self.script.steps, []
        failing = dice.randrange(len(steps)) if dice.random() < FAILING_SHARE else None
        for step in steps[:failing]:
            result, file = step.run(file, self.estate, dice)
            results.append(result)
        if failing is None:
            return results, len(results)
        results.append(steps[failing].fail(dice))
        handling_from = len(results)
        for step in self.script.on_exception:
            result, file = step.run(file, self.estate, dice)
            results.append(result)
        return results, handling_from


@dataclass(frozen=True, slots=True)
class CompanyDay:
    """The same four workflows in every target, each target with its own ids, files and arrivals."""

    seed: int

    def workflows(self, account_id: str, region: str) -> list[Workflow]:
        estate = Estate.of(account_id, region)
        return [self._workflow(estate, script) for script in WORKFLOWS]

    def _workflow(self, estate: Estate, script: WorkflowScript) -> Workflow:
        workflow_id = f"w-{Dice(self.seed, estate.account_id, estate.region, script.subject).hex(17)}"
        arn = f"arn:aws:transfer:{estate.region}:{estate.account_id}:workflow/{workflow_id}"
        definition = {"WorkflowId": workflow_id, "Arn": arn, **script.definition(estate)}
        return Workflow(workflow_id, definition, ScriptedArrivals(self.seed, estate, script))


def demo_world(seed: int, accounts: int, regions: tuple[str, ...]) -> World:
    """A company of that many accounts, all busy. The second one's role demands the external id "x-42"."""
    world = World("999999999999", regions, CompanyDay(seed))
    for number in range(1, accounts + 1):
        external_id = "x-42" if number == 2 else None  # noqa: PLR2004 - one odd one out, as in real life
        trusted = (f"arn:aws:iam::{world.home_account_id}:root",)
        world.add_account(_account_id(number), [Role(DEFAULT_ROLE_NAME, trusted, external_id)])
    return world


def _account_id(number: int) -> str:
    """111111111111, 222222222222 … and made-up ones once the digits are used up (the nines are home's)."""
    if number < 9:  # noqa: PLR2004 - see above
        return str(number) * 12
    return f"{int(sha256(str(number).encode()).hexdigest(), 16) % 10**12:012}"
