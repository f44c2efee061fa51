"""Gateway: the state that all callers share, and the accounts in service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transfer_gateway.core.access import Sources
from transfer_gateway.core.aws_operations import AwsOperations
from transfer_gateway.core.coverage import Coverages
from transfer_gateway.core.cursors import Cursors
from transfer_gateway.core.executions_in_progress import InProgress
from transfer_gateway.core.find import Finder
from transfer_gateway.core.fleet import Fleet
from transfer_gateway.core.followers import Followers
from transfer_gateway.core.history import History
from transfer_gateway.core.known_in_progress import KnownInProgress
from transfer_gateway.core.live import Live
from transfer_gateway.core.log_calls import LogCalls
from transfer_gateway.core.observations import Observations
from transfer_gateway.core.paging import or_target
from transfer_gateway.core.running_lists import RunningLists
from transfer_gateway.core.search import Search
from transfer_gateway.core.servers import ServerList
from transfer_gateway.core.shared_breakers import SharedBreakers
from transfer_gateway.core.shared_snapshots import SharedSnapshots
from transfer_gateway.core.use_cases import Reader
from transfer_gateway.core.watched import Watched
from transfer_gateway.core.workflows import Workflows
from transfer_gateway.domain.event import EventPosition
from transfer_gateway.domain.identity import ExecutionKey, WorkflowKey
from transfer_gateway.domain.scope import Scope
from transfer_gateway.domain.search import SearchPosition
from transfer_gateway.domain.server import ServerKey
from transfer_gateway.telemetry import gauge

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client.core import Metric
    from prometheus_client.registry import Collector

    from transfer_gateway.aws.assumed_roles import SessionCache
    from transfer_gateway.aws.client import RegionalClients
    from transfer_gateway.aws.logs import Logs
    from transfer_gateway.aws.servers import Servers
    from transfer_gateway.aws.transfer import Transfer
    from transfer_gateway.core.audit import AuditTrail
    from transfer_gateway.core.clock import Clock
    from transfer_gateway.core.follower import FollowerOptions
    from transfer_gateway.core.pacing import Pacing
    from transfer_gateway.core.quota import Quota
    from transfer_gateway.domain.account import Accounts
    from transfer_gateway.domain.caller import Caller
    from transfer_gateway.domain.policy import Policy
    from transfer_gateway.history.store import HistoryStore
    from transfer_gateway.shared_tasks import SharedTasks
    from transfer_gateway.telemetry import AwsCalls


class Gateway:
    """Snapshots, shared tasks and pacing for all callers. Each request accesses them through its own Reader."""

    def __init__(
        self,
        accounts: Accounts,
        *,
        transfer: Transfer,
        servers: Servers,
        logs: Logs,
        clients: Sequence[RegionalClients],
        sessions: SessionCache,
        pacing: Pacing,
        calls: AwsCalls,
        shared_tasks: SharedTasks,
        clock: Clock,
        request_timeout_s: float,
        max_list_rows: int,
        snapshots_max_entries: int,
        snapshots_max_bytes: int,
        cursor_secret: str | None = None,
        store: HistoryStore | None = None,
        following: FollowerOptions | None = None,
        live_interval_s: float = 2.0,
        max_subscriptions: int = 5000,
    ) -> None:
        """`live_interval_s`: between calls for an execution that is watched, if no log tells of it.

        `store` None: no history. `following` None: no logs are followed, as in check-config.
        """
        self.fleet = Fleet(
            store.fleet if store is not None and store.is_shared else None, SharedBreakers(pacing)
        )
        self.fleet.on_change(lambda: pacing.use_share(self.fleet.share))
        observations = Observations(store) if store is not None else None
        others: SharedSnapshots | None = None
        if store is not None and store.is_shared and following is not None:
            others = SharedSnapshots(self.fleet, store.snapshots, clock)
            shared_tasks.start(others.run(), name="share snapshots")
        self._collectors: tuple[Collector, ...] = ()
        self._accounts = accounts
        self.everything = Scope(accounts)
        self._clients = clients
        self._sessions = sessions
        self._pacing = pacing
        self._calls = calls
        self._operations = AwsOperations(
            lambda target: self._accounts.get(target),  # noqa: PLW0108  the current accounts, not those at start
            transfer,
            servers,
            pacing=pacing,
            shared_tasks=shared_tasks,
            clock=clock,
            request_timeout_s=request_timeout_s,
            max_list_rows=max_list_rows,
            max_entries=snapshots_max_entries,
            max_bytes=snapshots_max_bytes,
            on_described=observations.add if observations is not None else lambda _: None,
            others=others,
        )
        self._history: History | None = None
        search: Search | None = None
        coverages: Coverages | None = None
        known: KnownInProgress | None = None
        live: Live | None = None
        watched: Watched | None = None
        self._lists: RunningLists | None = None
        in_progress_cursors = Cursors(
            cursor_secret, of="executions in progress", parse=or_target(ExecutionKey.parse)
        )
        if store is not None and observations is not None and following is not None:
            calls_to_logs = LogCalls(
                lambda target: self._accounts.get(target),  # noqa: PLW0108  as above
                logs,
                transfer,
                self._operations,
                call_timeout_s=request_timeout_s,
            )
            followers = Followers(
                calls_to_logs, store, shared_tasks, clock, options=following, fleet=self.fleet
            )
            self.fleet.on_change(lambda: calls_to_logs.searching.use_share(self.fleet.share))
            self._history = History(
                store,
                followers,
                calls_to_logs,
                shared_tasks=shared_tasks,
                clock=clock,
                cursors=Cursors(cursor_secret, of="events", parse=EventPosition.parse),
                waiting=observations.waiting,
                request_timeout_s=request_timeout_s,
            )
            search = Search(
                store,
                clock,
                Cursors(cursor_secret, of="search", parse=SearchPosition.parse),
            )
            self._lists = RunningLists(
                self._operations,
                store,
                shared_tasks,
                clock,
                fleet=self.fleet,
                request_timeout_s=request_timeout_s,
            )
            coverages = Coverages(
                followers,
                self._lists,
                self._operations.servers,
                Cursors(cursor_secret, of="coverage", parse=str),
            )
            known = KnownInProgress(
                store,
                followers,
                self._lists,
                search=search,
                operations=self._operations,
                clock=clock,
                cursors=in_progress_cursors,
            )
            watched = Watched(
                self._operations,
                followers,
                store,
                shared_tasks,
                clock,
                fleet=self.fleet,
                interval_s=live_interval_s,
                call_timeout_s=request_timeout_s,
            )
            live = Live(
                store,
                shared_tasks,
                clock,
                max_subscriptions=max_subscriptions,
            )
            followers.follow(accounts)
            shared_tasks.start(self.fleet.run(), name="say that this replica lives")
            shared_tasks.start(followers.run(), name="follow")
            shared_tasks.start(store.listen(), name="hear of other replicas' changes")
            shared_tasks.start(observations.run(), name="store observations")
            self._collectors = (
                self.fleet,
                *([others] if others is not None else []),
                store,
                followers,
                observations,
                self._lists,
                watched,
                live,
            )
        self._sources = Sources(
            self._operations,
            Finder(self._operations),
            InProgress(self._operations, in_progress_cursors),
            Workflows(
                self._operations, Cursors(cursor_secret, of="workflows", parse=or_target(WorkflowKey.parse))
            ),
            ServerList(
                self._operations, Cursors(cursor_secret, of="servers", parse=or_target(ServerKey.parse))
            ),
            self._history,
            search,
            coverages,
            known,
            live,
            watched,
        )

    def scope_of(self, caller: Caller, policy: Policy) -> Scope:
        """The part of the accounts in service that the policy lets the caller see."""
        return policy.scope(caller, self._accounts)

    def reader(self, audit: AuditTrail, scope: Scope | None = None, quota: Quota | None = None) -> Reader:
        """The use cases for one request. Scope None: all accounts. Quota None: no limit."""
        return Reader(audit, scope or self.everything, quota, self._sources)

    def collect(self) -> Iterator[Metric]:
        yield gauge("accounts", "Configured and discovered accounts.", values=len(self._accounts))
        yield gauge("targets", "Targets: each region of each account.", values=self._accounts.count_targets())
        yield from self._operations.collect()
        for collector in self._collectors:
            yield from collector.collect()

    async def use_accounts(self, accounts: Accounts) -> None:
        """Replace the accounts in service. Requests in progress keep the scope that they started with."""
        for clients in self._clients:
            await clients.open(accounts.regions())
        self._accounts = accounts
        self.everything = Scope(accounts)
        self._sessions.keep_only(accounts)
        self._pacing.keep_only(set(accounts.targets()))
        if self._history is not None:
            self._history.followers.follow(accounts)
        if self._lists is not None:
            self._lists.keep_only(set(accounts.targets()))
        self._calls.keep_only({account.id for account in accounts})
