/** Finds an execution by its id alone, wherever it ran. */
import { useQuery } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { ask, type GatewayError } from "./gateway";
import { FindDocument, type FindQuery } from "./gql/graphql";
import { recordedAs } from "./useExecution";

interface Props {
  executionId: string;
  found: (id: string) => void;
  close: () => void;
}

export function Find({ executionId, found, close }: Props) {
  const heading = useRef<HTMLHeadingElement>(null);
  const { data, failureReason } = useQuery({
    queryKey: ["find", executionId],
    queryFn: async ({ signal }): Promise<FindQuery["findExecution"]> => {
      const execution = await recordedAs({ executionIds: [executionId] }, signal);
      if (execution) return { execution, targetsAsked: 0, targetFailures: [] };
      return (await ask(FindDocument, { executionId }, signal)).findExecution;
    },
    gcTime: 0,
  });
  const id = data?.execution?.id;
  useEffect(() => {
    if (id) found(id);
  });
  useEffect(() => heading.current?.focus(), []);
  const problem = failureReason as GatewayError | null;
  return (
    <section className="detail" aria-labelledby="detail-title">
      <header>
        <div className="title">
          <h2 id="detail-title" ref={heading} tabIndex={-1}>
            {data || problem ? "Not found" : "Looking for it everywhere …"}
          </h2>
          <p>{executionId}</p>
        </div>
        <button type="button" className="close" onClick={close} aria-label="Close" title="Close (Esc)">
          ×
        </button>
      </header>
      {problem && <p role="alert">This could not be asked: {problem.message}</p>}
      {data && !data.execution && (
        <div className="none" role="alert">
          {data.targetFailures.length === 0 ? (
            <p>There never was such an execution in the accounts that you can see.</p>
          ) : (
            <>
              <p>
                It is not known. It may have been in one of {data.targetFailures.length} accounts and regions of which
                the gateway does not know everything:
              </p>
              <ul>
                {data.targetFailures.map(({ error }) => (
                  <li key={error.message}>
                    {error.message} {error.__typename === "ExecutionNotFound" && error.remedy}
                  </li>
                ))}
              </ul>
            </>
          )}
        </div>
      )}
    </section>
  );
}
