/** The steps of an execution: those that ran, and by the workflow's definition those that did not, or not yet. */
import type { DefinedStepFragment, StepFragment, WholeFragment } from "./gql/graphql";
import { hasEnded } from "./rows";
import type { Kind } from "./Status";

export interface ShownStep {
  name: string;
  type: string;
  kind: Kind;
  word: string;
  result: StepFragment | null;
}

type Execution = Pick<WholeFragment, "status" | "ending" | "results">;
type Defined = Pick<DefinedStepFragment, "type" | "rawType" | "name">;

export function mainSteps(execution: Execution, defined: readonly Defined[] | null | undefined): ShownStep[] {
  const results = execution.results?.steps ?? [];
  const hasFailed = results.some(({ error }) => error) || execution.status === "EXCEPTION";
  const isKnown = hasFailed || execution.status !== null;
  return merged(results, defined ?? [], !hasEnded(execution) && execution.status === "IN_PROGRESS", hasFailed, isKnown);
}

/** Empty as long as no step has failed. */
export function handlingSteps(execution: Execution, defined: readonly Defined[] | null | undefined): ShownStep[] {
  const results = execution.results?.onExceptionSteps ?? [];
  const isDue = results.length > 0 || execution.status === "HANDLING_EXCEPTION" || execution.status === "EXCEPTION";
  if (!isDue) return [];
  return merged(results, defined ?? [], execution.status === "HANDLING_EXCEPTION", hasEnded(execution));
}

function merged(
  results: readonly StepFragment[],
  defined: readonly Defined[],
  runs: boolean,
  isOver: boolean,
  isKnown = true,
): ShownStep[] {
  const running = results.findIndex(({ startedAt, endedAt, error }) => startedAt && !endedAt && !error);
  // AWS's own answer has only the steps that are done: then the next one runs.
  const next = runs && running < 0 && !results.some(({ error }) => error) ? results.length : -1;
  return Array.from({ length: Math.max(results.length, defined.length) }, (_, index) => {
    const result = results[index] ?? null;
    const definition = defined[index];
    const raw = result?.rawStepType ?? definition?.rawType ?? "";
    return {
      name: result?.name ?? definition?.name ?? `Step ${index + 1}`,
      type: raw,
      ...(result || isKnown
        ? stateOf(result, index === running, index === next, runs, isOver)
        : { kind: "unknown" as const, word: "Not known" }),
      result,
    };
  });
}

function stateOf(
  result: StepFragment | null,
  isOpen: boolean,
  isNext: boolean,
  runs: boolean,
  isOver: boolean,
): { kind: Kind; word: string } {
  if (result?.error) return { kind: "failed", word: "Failed" };
  if (isOpen) return runs ? { kind: "running", word: "Running" } : { kind: "unknown", word: "End not recorded" };
  if (result) return { kind: "done", word: "Done" };
  if (isNext) return { kind: "running", word: "Running" };
  return isOver || !runs ? { kind: "skipped", word: "Not run" } : { kind: "waiting", word: "Not yet" };
}

const MOVES = new Set(["COPY", "DECRYPT"]);

/** The steps that had put the file where it belongs before one failed. */
export function movedBefore(steps: readonly StepFragment[]): { step: StepFragment; index: number }[] {
  const failed = steps.findIndex(({ error }) => error);
  return steps
    .slice(0, Math.max(0, failed))
    .map((step, index) => ({ step, index }))
    .filter(({ step }) => step.stepType && MOVES.has(step.stepType));
}
