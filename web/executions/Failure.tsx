/** Why it failed, before anything else; and whether the file got through all the same. */
import type { DefinedStepFragment, DestinationFragment, StepFragment, WholeFragment } from "./gql/graphql";
import { isAfterwards } from "./rows";
import { Icon } from "./Status";
import { movedBefore } from "./steps";
import type { State } from "./url";

/** AWS puts the name of the user in its place. */
const USER = "${Transfer:UserName}";

interface Props {
  execution: WholeFragment;
  defined: readonly DefinedStepFragment[] | null | undefined;
  change: (part: Partial<State>) => void;
}

export function Failure({ execution, defined, change }: Props) {
  const steps = execution.results?.steps ?? [];
  const failed = steps.find(({ error }) => error);
  if (!failed?.error) {
    if (execution.status !== "EXCEPTION") return null;
    return (
      <section className="failure" aria-label="Failure">
        <h3>
          <Icon kind="failed" /> It failed before its first step
        </h3>
        <p>Nothing recorded why. Usually the workflow’s role can’t be assumed, or was changed minutes before.</p>
      </section>
    );
  }
  const { type: error } = failed.error;
  const type = failed.rawStepType ?? "";
  return (
    <section className="failure" aria-label="Failure">
      <h3>
        <Icon kind="failed" /> <bdi>{failed.name ?? `Step ${steps.indexOf(failed) + 1}`}</bdi> failed
        <span className="type">
          {type} · {failed.error.rawType}
        </span>
      </h3>
      <blockquote>{failed.error.message || "AWS gave no text."}</blockquote>
      <p>
        {failed.explanation?.meaning}{" "}
        {error !== "UNRECOGNIZED" && (
          <button type="button" className="link" onClick={() => change({ text: "", errors: [error], execution: "" })}>
            Others with {failed.error.rawType}
          </button>
        )}
      </p>
      <GotThrough
        failed={failed}
        steps={steps}
        defined={defined}
        user={execution.serviceMetadata?.userDetails.userName}
      />
      <h4>What to check</h4>
      <ul>
        {failed.explanation?.check.map((what) => (
          <li key={what}>{what}</li>
        ))}
      </ul>
    </section>
  );
}

interface GotThroughProps extends Pick<Props, "defined"> {
  failed: StepFragment;
  steps: readonly StepFragment[];
  user: string | undefined;
}

function GotThrough({ failed, steps, defined, user }: GotThroughProps) {
  const moved = movedBefore(steps);
  const last = moved.at(-1);
  if (!last) return <p className="through not">No step had copied the file anywhere before.</p>;
  const definition = defined?.[last.index];
  const place = (definition?.copyStepDetails ?? definition?.decryptStepDetails)?.destinationFileLocation;
  const name = last.step.name ?? `step ${last.index + 1}`;
  const where = place ? destinationOf(place)?.replaceAll(USER, () => user ?? USER) : null;
  return (
    <p className="through">
      <Icon kind="done" />
      <span>
        <b>
          The file {last.step.stepType === "DECRYPT" ? "was decrypted" : "did get through"}, although a later step
          failed.
        </b>{" "}
        Step <bdi>{name}</bdi> wrote it
        {where && (
          <>
            {" "}
            to <code>{where}</code>
          </>
        )}
        . {isAfterwards(failed) ? "Only tidying up failed." : "What the failed step does is missing."}
      </span>
    </p>
  );
}

function destinationOf({ s3FileLocation: s3, efsFileLocation: efs }: DestinationFragment): string | null {
  if (s3) return `s3://${s3.bucket ?? "?"}/${s3.key ?? ""}`;
  return efs ? `${efs.fileSystemId ?? "efs"}:${efs.path ?? ""}` : null;
}
