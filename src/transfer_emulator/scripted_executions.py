"""A workflow's scripted uploads and executions, which start, progress and end as a function of time.

Nothing runs in the background. A workflow's uploads are a function of (seed, target, workflow, time slot), and what AWS
and its logs show of an upload is a function of (the upload, now). So the same seed gives the same data at the same
time, for any time in the past, and memory does not grow.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain

from transfer_emulator.log_entries import SESSION_S, LogQuirks, entries_of
from transfer_emulator.log_groups import DAY_S, LogEvent
from transfer_emulator.sample_data import Resources, SeededRandom, StoredFile
from transfer_emulator.sample_workflows import WorkflowScript
from transfer_emulator.uploads import Destination, Outcome, Step, Upload

# An execution's end is logged so long after its last step, and forgotten by the API so long after its end, at most.
_END_S, _FORGOTTEN_S = 0.3, 1.5
_MAX_GAP_S = 0.04  # between an execution's start and its steps
_PARTIAL_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class ScenarioSettings:
    """What happens how often. Shares are between 0 and 1, of uploads; times are in seconds.

    `duration_s`: of executions: minimum, usual, maximum. `history_from`: nothing happens before (seconds since 1970).
    `retention_s`: of log groups. `is_automatic`: False: nothing happens but by `World.upload`. `all_logged_in`: the
    accounts where the workflow that nothing logs elsewhere is logged, too.
    """

    duration_s: tuple[float, float, float] = (20.0, 60.0, 180.0)
    failing_share: float = 0.25
    nothing_ran_share: float = 0.01
    throttled_share: float = 0.02
    service_failure_share: float = 0.01
    empty_file_share: float = 0.02
    quirks: LogQuirks = field(default_factory=LogQuirks)
    retention_s: float = DAY_S
    history_from: float = -math.inf
    is_automatic: bool = True
    all_logged_in: frozenset[str] = frozenset()

    def outcome(self, rng: SeededRandom) -> Outcome:
        shares = {
            Outcome.NOTHING_RAN: self.nothing_ran_share,
            Outcome.THROTTLED: self.throttled_share,
            Outcome.SERVICE_FAILURE: self.service_failure_share,
            Outcome.EMPTY_FILE: self.empty_file_share,
        }
        left = rng.random()
        for outcome, share in shares.items():
            if (left := left - share) < 0:
                return outcome
        return Outcome.EXECUTED


@dataclass(frozen=True, slots=True)
class Route:
    """A server whose uploads start the workflow, and where those are logged."""

    server_id: str
    destinations: tuple[Destination, ...]
    is_partial: bool = False


@dataclass(slots=True)
class _Slot:
    upload: Upload
    events: dict[Destination, list[LogEvent]] = field(default_factory=dict)


@dataclass(slots=True)
class ScriptedExecutions:
    """A workflow's uploads: one at a random time in each slot of `script.every_s` seconds, and those added.

    `routes`: the workflow's servers; the first one receives most files.
    """

    seed: int
    resources: Resources
    script: WorkflowScript
    workflow_id: str
    routes: tuple[Route, ...]
    settings: ScenarioSettings
    _slots: dict[int, _Slot] = field(default_factory=dict)  # the last used ones
    _added: list[_Slot] = field(default_factory=list)
    _running: dict[str, Upload] = field(default_factory=dict)
    _running_from: float = 0.0
    _running_until: float = 0.0
    # Slots of different workflows begin at different times, so that their uploads are not computed all at once.
    _phase_s: float = 0.0

    def __post_init__(self) -> None:
        rng = SeededRandom(self.seed, self.resources.account_id, self.resources.region, self.script.subject)
        self._phase_s = rng.random() * self.script.every_s

    def running(self, now: float) -> dict[str, Upload]:
        """Executions in progress at `now`, by id; recomputed only after one has started or ended."""
        if not self._running_from <= now < self._running_until:
            uploads = list(self.uploads(now, now))
            self._running = {upload.key: upload for upload in uploads if upload.is_in_progress(now)}
            changes = [
                time for upload in uploads for time in (upload.started_at, upload.ends_at) if time > now
            ]
            next_slot_at = self._slot_at(now) + 1 if self.settings.is_automatic else math.inf
            next_slot_at = next_slot_at * self.script.every_s + self._phase_s
            self._running_from, self._running_until = now, min([*changes, next_slot_at])
        return self._running

    def uploads(self, since: float, until: float) -> Iterator[Upload]:
        """The uploads that may have had anything happen between two times, in no order."""
        return (slot.upload for slot in self._between(since, until))

    def events(self, group_name: str, first_ms: int, last_ms: int) -> Iterator[LogEvent]:
        """A log group's events between two times, and some around them, in no order."""
        for slot in self._between(first_ms / 1000, last_ms / 1000):
            for destination in slot.upload.destinations:
                if destination.group_name == group_name:
                    events = slot.events.get(destination)
                    if events is None:
                        events = entries_of(slot.upload, destination, self.settings.quirks, self.seed)
                        slot.events[destination] = events
                    yield from events

    def upload(
        self,
        at: float,
        *,
        outcome: Outcome = Outcome.EXECUTED,
        duration_s: float | None = None,
        failing_step: int | None = None,
        seed: object = "",
    ) -> Upload:
        """Add an upload whose execution starts at `at`, like the automatic ones.

        `failing_step`: index of the step that fails. `seed`: distinguishes uploads at the same time.
        """
        rng = SeededRandom(self.seed, self.workflow_id, at, seed)
        upload = self._upload(at, rng, outcome, duration_s, failing_step)
        oldest = at - self.settings.retention_s - self.settings.duration_s[2]
        self._added = [slot for slot in self._added if slot.upload.ends_at >= oldest]
        self._added.append(_Slot(upload))
        self._running_until = 0.0
        return upload

    def _between(self, since: float, until: float) -> Iterator[_Slot]:
        first, last = since - SESSION_S, until + SESSION_S
        yield from (slot for slot in self._added if _overlaps(slot.upload, first, last))
        if self.settings.is_automatic:
            start = max(first - self.settings.duration_s[2], self.settings.history_from)
            for number in range(self._slot_at(start), self._slot_at(last) + 1):
                slot = self._slots.get(number)
                if slot is None:
                    slot = self._slots[number] = _Slot(self._slot_upload(number))
                    self._evict()
                if slot.upload.connected_at >= self.settings.history_from and _overlaps(
                    slot.upload, first, last
                ):
                    yield slot

    def _slot_at(self, moment: float) -> int:
        return int((moment - self._phase_s) // self.script.every_s)

    def _evict(self) -> None:
        # What a reader needs that asks for the last minute again and again.
        span_s = self.settings.duration_s[2] + 2 * SESSION_S + 60.0
        while len(self._slots) > span_s / self.script.every_s + 4:
            del self._slots[next(iter(self._slots))]

    def _slot_upload(self, number: int) -> Upload:
        resources = self.resources
        rng = SeededRandom(self.seed, resources.account_id, resources.region, self.script.subject, number)
        at = (number + rng.random()) * self.script.every_s + self._phase_s
        outcome = self.settings.outcome(rng)
        fails = rng.random() < self.settings.failing_share
        failing_step = rng.randrange(len(self.script.steps)) if fails else None
        return self._upload(at, rng, outcome, None, failing_step)

    def _upload(
        self,
        at: float,
        rng: SeededRandom,
        outcome: Outcome,
        duration_s: float | None,
        failing_step: int | None,
    ) -> Upload:
        started_at = round(at, 3)
        key = rng.uuid()
        file, user_name = self.script.arriving_file(self.resources, rng)
        if duration_s is None:
            low, usual, high = self.settings.duration_s
            duration_s = rng.triangular(low, high, usual)
        route = self.routes[0]
        if len(self.routes) > 1 and rng.random() < _PARTIAL_SHARE:
            route = self.routes[1]
        forgotten_s = min(rng.uniform(0.0, _FORGOTTEN_S), duration_s / 4)
        ended_at = round(started_at + duration_s - forgotten_s, 3)
        steps: tuple[Step, ...] = ()
        if outcome is Outcome.EXECUTED:
            worked_s = ended_at - started_at - min(rng.uniform(0.01, _END_S), duration_s / 4)
            steps = tuple(self._steps(file, started_at, worked_s, failing_step, rng))
        else:
            ended_at = started_at
        return Upload(
            resources=self.resources,
            workflow_id=self.workflow_id,
            server_id=route.server_id,
            user_name=user_name,
            session_id=rng.hex(16),
            file=file,
            size_bytes=0 if outcome is Outcome.EMPTY_FILE else rng.randint(1, 5_000_000),
            is_partial=route.is_partial,
            outcome=outcome,
            key=key,
            destinations=route.destinations,
            connected_at=round(started_at - rng.uniform(1.0, SESSION_S - 1.0), 3),
            started_at=started_at,
            ended_at=ended_at,
            ends_at=ended_at + (forgotten_s if steps else 0.0),
            steps=steps,
        )

    def _steps(
        self,
        file: StoredFile,
        started_at: float,
        worked_s: float,
        failing_step: int | None,
        rng: SeededRandom,
    ) -> Iterator[Step]:
        """All steps that will run, with handlers after a failed one."""
        script = self.script
        ran = script.steps if failing_step is None else script.steps[: failing_step + 1]
        handlers = () if failing_step is None else script.on_exception
        weights = [rng.uniform(0.5, 1.5) for _ in chain(ran, handlers)]
        gap_s = min(_MAX_GAP_S, worked_s / 100)
        at, unit_s = started_at, (worked_s - len(weights) * gap_s) / sum(weights)
        for index, (step, weight) in enumerate(zip(chain(ran, handlers), weights, strict=True)):
            step_started_at = round(at + rng.uniform(0.0, gap_s), 3)
            ended_at = round(step_started_at + weight * unit_s, 3)
            before, error = file, None
            if index == failing_step:
                outputs, error = "{}", step.fail(rng)
            else:
                outputs, file = step.run(file, self.resources, rng)
            yield Step(
                step.step_type,
                step.name,
                step_started_at,
                ended_at,
                before,
                outputs,
                error,
                index >= len(ran),
            )
            at = ended_at


def _overlaps(upload: Upload, first: float, last: float) -> bool:
    return upload.ends_at >= first and upload.connected_at <= last
