/** One execution in the list. */
import { memo } from "react";
import { placeOf } from "./file";
import type { RowFragment } from "./gql/graphql";
import { short } from "./Id";
import { useNow } from "./now";
import { hasEnded, isAfterwards } from "./rows";
import { Status } from "./Status";
import { Duration } from "./Times";
import { clock, day, type Zone } from "./time";
import { errorWord } from "./url";

interface Props {
  row: RowFragment;
  /** The address of the list; with the row's id, that of its detail. */
  base: string;
  zone: Zone;
  isOpen: boolean;
  hidesFile: boolean;
  hidesUser: boolean;
}

const READ_AFTER_MS = 60_000; // by then its log has been read, if there is one
const HIDDEN = <em className="hidden">hidden from you</em>;

/** Where and why, and whether the file may be where it belongs all the same. */
function failedAt(step: NonNullable<RowFragment["failedStep"]>): string {
  const name = step.name ?? `${(step.rawStepType ?? "a").toLowerCase()} step`;
  const why = step.error ? `: ${errorWord(step.error.type) ?? step.error.rawType}` : "";
  return `at ${isAfterwards(step) ? "tidying up, " : ""}${name}${why}`;
}

export const Row = memo(function Row({ row, base, zone, isOpen, hidesFile, hidesUser }: Props) {
  const file = placeOf(row.initialFileLocation);
  const { userName, serverId } = row.serviceMetadata?.userDetails ?? {};
  const step = row.failedStep;
  return (
    <div role="row" className={isOpen ? "row open" : "row"}>
      <div role="cell" className="state">
        <Status status={row.status} rawStatus={row.rawStatus} ending={row.ending} />
        {step && <small title={failedAt(step)}>{failedAt(step)}</small>}
      </div>
      <div role="cell" className="file">
        <a href={`${base}${row.id}`} data-id={row.id} aria-current={isOpen || undefined}>
          <bdi>{file?.name ?? (hidesFile ? HIDDEN : <em>file not recorded</em>)}</bdi>
        </a>
        <small title={file?.whole}>
          <bdi>{file?.folder}</bdi>
        </small>
      </div>
      <div role="cell" className="user">
        <span title={userName}>
          <bdi>{userName ?? (hidesUser ? HIDDEN : "–")}</bdi>
        </span>
        <small title={`${row.accountId} ${row.region}`}>
          {row.account.alias ?? row.accountId} · {row.region}
        </small>
      </div>
      <div role="cell" className="ids">
        <code title={serverId}>{serverId ? short(serverId) : "–"}</code>
        <small>
          <code title={row.workflowId}>{short(row.workflowId)}</code>
        </small>
      </div>
      <div role="cell" className="started">
        {row.startedAt ? (
          <time dateTime={row.startedAt}>
            {clock(row.startedAt, zone)}
            <small>{day(row.startedAt, zone)}</small>
          </time>
        ) : (
          <NoStart seenAt={row.observedAt} />
        )}
      </div>
      <div role="cell" className="took">
        <Duration from={row.startedAt} seconds={row.durationS} runs={!hasEnded(row)} />
      </div>
    </div>
  );
});

function NoStart({ seenAt }: { seenAt: string }) {
  return useNow() - Date.parse(seenAt) < READ_AFTER_MS ? (
    <span className="dim" title="Its log may tell when it started, once that is read.">
      not known yet
    </span>
  ) : (
    <span className="dim" title="No log has its start.">
      not logged
    </span>
  );
}
