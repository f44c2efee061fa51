/** One execution: what became of the file, why, and when. */
import { useEffect, useRef } from "react";
import { Events } from "./Events";
import { Facts } from "./Facts";
import { Failure } from "./Failure";
import { placeOf } from "./file";
import { Copy } from "./Id";
import type { WholeFragment } from "./gql/graphql";
import { hasEnded } from "./rows";
import { Timeline } from "./Timeline";
import { handlingSteps, mainSteps } from "./steps";
import { Icon, Status } from "./Status";
import { Duration, Time } from "./Times";
import { lasting } from "./time";
import { useDefinition, useExecution, useUsual, type Answer } from "./useExecution";
import { queryOf, stateOf, type State } from "./url";

interface Props {
  id: string;
  hiddenFields: readonly string[];
  close: () => void;
  change: (part: Partial<State>) => void;
  /** What the window is to be called. */
  named: (file: string) => void;
}

export function Detail({ id, hiddenFields, close, change, named }: Props) {
  const { answer, problem, runs } = useExecution(id);
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus(), [id]);
  const execution = answer?.__typename === "Execution" ? answer : null;
  const file = placeOf(execution?.initialFileLocation);
  const name = file?.name ?? "";
  useEffect(() => {
    named(name);
    return () => named("");
  }, [name, named]);
  const isHidden = hiddenFields.includes("initialFileLocation");
  return (
    <section className="detail" aria-labelledby="detail-title">
      <header>
        <div className="title">
          <h2 id="detail-title" ref={heading} tabIndex={-1}>
            <bdi>
              {file?.name ?? (execution ? (isHidden ? "File hidden from you" : "File not recorded") : "Execution")}
            </bdi>
          </h2>
          <p title={file?.whole}>
            <bdi>{file ? file.root + file.folder : id.split("/").at(-1)}</bdi>
          </p>
        </div>
        <Copy text={`${location.origin}${location.pathname}${queryOf({ ...stateOf(""), execution: id })}`} what="a link to this execution" />
        <button type="button" className="close" onClick={close} aria-label="Close" title="Close (Esc)">
          ×
        </button>
      </header>
      {problem && (
        <p className="stale" role="status">
          <Icon kind="handling" /> {problem.message} {execution && "What is shown is as it was last known."}
        </p>
      )}
      {execution ? (
        <Whole execution={execution} hiddenFields={hiddenFields} runs={runs} change={change} />
      ) : answer && answer.__typename !== "Execution" ? (
        <NotFound answer={answer} />
      ) : (
        !problem && <div className="skeleton" role="status" aria-label="Loading the execution" />
      )}
    </section>
  );
}

interface WholeProps extends Pick<Props, "hiddenFields" | "change"> {
  execution: WholeFragment;
  runs: boolean;
}

function Whole({ execution, hiddenFields, runs, change }: WholeProps) {
  const definition = useDefinition(execution.id);
  const usual = useUsual(execution.id);
  const main = mainSteps(execution, definition?.steps);
  const handling = handlingSteps(execution, definition?.onExceptionSteps);
  const results = [...(execution.results?.steps ?? []), ...(execution.results?.onExceptionSteps ?? [])];
  const starts = [execution.startedAt, ...results.map(({ startedAt }) => startedAt)].filter((at) => at != null);
  const ends = [execution.endedAt, ...results.map(({ endedAt }) => endedAt)].filter((at) => at != null);
  const from = starts.length > 0 ? Math.min(...starts.map((at) => Date.parse(at))) : null;
  const ended = hasEnded(execution) && ends.length > 0;
  const until = ended ? Math.max(...ends.map((at) => Date.parse(at))) : (from ?? 0) + 1000 * (usual.whole ?? 0);
  const hidesOutputs = hiddenFields.includes("stepOutputs");
  const { userName } = execution.serviceMetadata?.userDetails ?? {};
  const timeline = { from, until, hidesOutputs };
  return (
    <>
      <div className="lead" aria-live="polite">
        <Status status={execution.status} rawStatus={execution.rawStatus} ending={execution.ending} />
        <span className="lasted">
          <Duration from={execution.startedAt} seconds={execution.durationS} runs={runs} />
          {usual.whole !== null && <small> usually {lasting(usual.whole)}</small>}
        </span>
        {runs && <small className="live">Live until it ends</small>}
      </div>
      <Failure execution={execution} defined={definition?.steps} change={change} />
      {execution.status === "COMPLETED" && (
        <p className="through">
          <Icon kind="done" /> <b>The file got through: every step succeeded.</b>
        </p>
      )}
      {execution.status === null && !execution.ending && (
        <p className="stale">It has ended, and nothing recorded how. Its log may have been switched off, or deleted.</p>
      )}
      <p className="who">
        {userName ? (
          <button type="button" className="link" onClick={() => change({ users: [userName] })} title="All of this user">
            <bdi>{userName}</bdi>
          </button>
        ) : hiddenFields.includes("serviceMetadata") ? (
          "User hidden from you"
        ) : (
          "User not recorded"
        )}
        {" · "}
        {execution.account.alias ?? execution.accountId} · {execution.region}
        {execution.startedAt && (
          <>
            {" · started "}
            <Time at={execution.startedAt} />
          </>
        )}
        {execution.endedAt && (
          <>
            {" · ended "}
            <Time at={execution.endedAt} />
          </>
        )}
      </p>
      <h3>Steps</h3>
      {main.length > 0 ? (
        <Timeline label="Steps" steps={main} usual={usual.steps} saysNoErrors {...timeline} />
      ) : (
        <p className="dim">No step is recorded.</p>
      )}
      {handling.length > 0 && (
        <>
          <h3>After the failure</h3>
          <Timeline label="Steps after the failure" steps={handling} usual={[]} {...timeline} />
        </>
      )}
      {usual.of > 0 && (
        <p className="dim">“Usually”, the tick on a bar, is the median of this workflow’s last {usual.of} completed executions.</p>
      )}
      <h3>Details</h3>
      <Facts
        execution={execution}
        hiddenFields={hiddenFields}
        destinations={definition?.structuredLogDestinations ?? []}
      />
      <Events execution={execution} />
    </>
  );
}

const REASONS = {
  NEVER_EXISTED: "There never was one",
  EXPIRED: "Unknown: it may have ended before the log’s oldest entry",
  NOT_LOGGED: "Unknown: no log tells of it", // logs nothing, or not all, or is not there at all
  LOG_UNREADABLE: "Unknown: its log can’t be read",
  HISTORY_OFF: "Unknown: the history is switched off",
};

function NotFound({ answer }: { answer: Exclude<Answer, { __typename: "Execution" }> }) {
  const isMissing = answer.__typename === "ExecutionNotFound";
  return (
    <div className="none" role="alert">
      <h3>{isMissing ? REASONS[answer.reason] : "This could not be asked"}</h3>
      <p>{answer.message}</p>
      {isMissing && answer.remedy && <p>{answer.remedy}</p>}
      {answer.retryable && <p>It is asked again by itself.</p>}
      {answer.awsRequestId && (
        <p className="dim">
          AWS request <code>{answer.awsRequestId}</code>
        </p>
      )}
    </div>
  );
}
