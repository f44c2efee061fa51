// What the types forbid. Never run: tsc fails when one of these lines is no error.
import type { ResultOf, VariablesOf } from "@graphql-typed-document-node/core";

import { FileFields, InProgress, LookUp } from "./queries.js";
import { useFragment } from "./gql/index.js";

declare const found: ResultOf<typeof LookUp>["executionOrError"];

// @ts-expect-error  an error has no status: which one it is has to be asked first
found.status;
if (found.__typename === "Execution") {
  // @ts-expect-error  an execution has no code
  found.code;
  // @ts-expect-error  it may have no POSIX profile
  found.posixProfile.uid;
  // @ts-expect-error  ids are numbers
  const uid: string | undefined = found.posixProfile?.uid;
  // @ts-expect-error  there is no such status
  found.status === "DONE";
} else {
  // @ts-expect-error  no answer of this query has it
  found.__typename === "WorkflowNotFound";
}

declare const page: ResultOf<typeof InProgress>["inProgressExecutions"];

for (const { node } of page.edges) {
  // @ts-expect-error  a fragment's fields are its owner's
  node.serviceMetadata;
  // @ts-expect-error  the fragment doesn't select it
  useFragment(FileFields, node).posixProfile;
}

// @ts-expect-error  a key needs all four ids
const key: VariablesOf<typeof LookUp>["key"] = { accountId: "111111111111", region: "eu-west-1" };
// @ts-expect-error  first is a number
const variables: VariablesOf<typeof InProgress> = { first: "50" };
