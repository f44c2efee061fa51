/** Steps as a timeline: when each began, how long it took, and how long it usually does. */
import { useNow } from "./now";
import type { ShownStep } from "./steps";
import { Icon } from "./Status";
import { Duration, Time, useZone } from "./Times";
import { clock, lasting } from "./time";

interface Props {
  label: string;
  steps: ShownStep[];
  usual: (number | null)[];
  /** What the timeline spans, in ms; longer, while a step runs longer. */
  from: number | null;
  until: number;
  hidesOutputs: boolean;
  /** Whether errors are shown above. */
  saysNoErrors?: boolean;
}

const SLOW = 2; // times the usual

export function Timeline({ label, steps, usual, from, until, hidesOutputs, saysNoErrors = false }: Props) {
  return (
    <ol className="steps" aria-label={label}>
      {steps.map((step, index) => (
        <li key={index} className={step.kind}>
          <Icon kind={step.kind} />
          <div className="name">
            <b>
              <bdi>{step.name}</bdi>
            </b>{" "}
            <span className="type">{step.type}</span>
          </div>
          <Took step={step} usual={usual[index] ?? null} />
          {step.result?.startedAt && from !== null && (
            <Bar step={step} from={from} until={until} usual={usual[index] ?? null} />
          )}
          <Notes step={step} hidesOutputs={hidesOutputs} saysNoErrors={saysNoErrors} />
        </li>
      ))}
    </ol>
  );
}

function Took({ step, usual }: { step: ShownStep; usual: number | null }) {
  const zone = useZone();
  const { startedAt, durationS } = step.result ?? {};
  const isSlow = usual !== null && durationS != null && durationS > SLOW * usual && durationS - usual > 5;
  return (
    <div className="took">
      {startedAt ? (
        <>
          <span className="at">{clock(startedAt, zone)}</span>
          <b>
            <Duration from={startedAt} seconds={durationS} runs={step.kind === "running"} />
          </b>
        </>
      ) : (
        <span className="word">{step.word}</span>
      )}
      {usual !== null && step.kind !== "skipped" && (
        <small className={isSlow ? "slow" : undefined}>
          {isSlow && "slow: "}usually {lasting(usual)}
        </small>
      )}
    </div>
  );
}

interface BarProps {
  step: ShownStep;
  from: number;
  until: number;
  usual: number | null;
}

function Bar({ step, from, until, usual }: BarProps) {
  const now = useNow();
  const start = Date.parse(step.result!.startedAt!);
  const end = step.result!.endedAt ? Date.parse(step.result!.endedAt) : step.kind === "running" ? now : start;
  const span = Math.max(1, until - from, (step.kind === "running" ? now : end) - from);
  const share = (ms: number) => `${Math.min(100, Math.max(0, (100 * ms) / span))}%`;
  return (
    <div className="bar" aria-hidden="true">
      <span className={step.kind} style={{ left: share(start - from), width: share(end - start) }} />
      {usual !== null && start - from + usual * 1000 <= span && (
        <i style={{ left: share(start - from + usual * 1000) }} />
      )}
    </div>
  );
}

interface NotesProps {
  step: ShownStep;
  hidesOutputs: boolean;
  saysNoErrors: boolean;
}

function Notes({ step, hidesOutputs, saysNoErrors }: NotesProps) {
  const { outputs, error } = step.result ?? {};
  const has = outputs && outputs !== "{}";
  return (
    <>
      {error && !saysNoErrors && <p className="said">{error.message}</p>}
      {has && (
        <details className="outputs">
          <summary>Output</summary>
          <pre>{pretty(outputs)}</pre>
        </details>
      )}
      {!has && hidesOutputs && step.kind === "done" && <p className="hidden">Its output is hidden from you.</p>}
      {step.result?.startedAt && (
        <span className="unseen">
          {step.word}, started <Time at={step.result.startedAt} />
        </span>
      )}
    </>
  );
}

function pretty(outputs: string): string {
  try {
    return JSON.stringify(JSON.parse(outputs), null, 2);
  } catch {
    return outputs;
  }
}
