"""Random policies, executions in two accounts, and what of them each caller may see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from callers import CALLERS
from recorded import uploaded
from transfer_gateway.domain.scope import Hideable
from wire import GUARDED, PLAIN, REGION

if TYPE_CHECKING:
    from transfer_emulator import Upload, World

TARGETS = ((PLAIN, REGION), (GUARDED, "us-east-1"))
EVERYONE: list[dict[str, Any]] = [{"callers": {"groups": ["ops"]}, "accounts": {"all": True}}]

rules = st.lists(
    st.fixed_dictionaries(
        {
            "callers": st.sampled_from(["ops", "payments"]).map(lambda group: {"groups": [group]}),
            "accounts": st.sampled_from([PLAIN, GUARDED]).map(lambda account: {"ids": [account]}),
            "regions": st.lists(st.sampled_from([REGION, "us-east-1"]), min_size=1, max_size=2, unique=True),
            "hide": st.lists(st.sampled_from([*map(str, Hideable)]), max_size=4, unique=True),
        }
    ),
    min_size=1,
    max_size=5,
)


def granted(group: str, account_id: str, *hide: Hideable) -> dict[str, Any]:
    """One rule."""
    return {
        "callers": {"groups": [group]},
        "accounts": {"ids": [account_id]},
        "regions": [REGION, "us-east-1"],
        "hide": [*map(str, hide)],
    }


def hidden_from(
    caller: str, target: tuple[str, str], rules: list[dict[str, Any]]
) -> frozenset[Hideable] | None:
    """The fields that are hidden in a target; None if all of it is. What one rule shows, no other hides."""
    granting = [
        frozenset(map(Hideable, rule["hide"]))
        for rule in rules
        if set(rule["callers"]["groups"]) & set(CALLERS[caller]["groups"])
        and target[0] in rule["accounts"]["ids"]
        and target[1] in rule["regions"]
    ]
    return frozenset.intersection(*granting) if granting else None


def secrets_of(upload: Upload) -> dict[Hideable, set[str]]:
    """Texts that a hidden field must hide wherever they occur. Outputs have the file's later places."""
    execution = upload.wire(upload.started_at)
    return {
        Hideable.INITIAL_FILE_LOCATION: {upload.file.path, upload.file.version_id},
        Hideable.SERVICE_METADATA: {upload.session_id},
        Hideable.EXECUTION_ROLE: {execution["ExecutionRole"]},
        Hideable.LOGGING_CONFIGURATION: {
            "transfer-logging",
            "/aws/transfer/",
            "/aws/vendedlogs/transfer",
        },
        Hideable.POSIX_PROFILE: {'"uid"'},
        Hideable.STEP_OUTPUTS: {"backingStore"},
    }


def upload_everywhere(world: World) -> dict[tuple[str, str], list[Upload]]:
    """In each target: a failed execution on S3, one on EFS, one in progress, and one that nothing logs."""
    return {
        target: [
            uploaded(world, subject, account_id=target[0], region=target[1], **options)
            for subject, options in (
                ("payments", {"failing_step": 1}),
                ("claims", {}),
                ("payments", {"ago_s": 100, "duration_s": 3000}),
                ("orders", {}),
            )
        ]
        for target in TARGETS
    }
