/** What a failure usually means, by AWS's type of error and the type of the step. */
import type { StepFragment } from "./gql/graphql";

const MEANS: Record<string, string> = {
  PERMISSION_DENIED:
    "The workflow’s role lacks a permission that this step needs. Look at its policies, and at those of the bucket and the key.",
  "PERMISSION_DENIED COPY":
    "The workflow’s role may not read the source or write to the destination: s3:GetObject, s3:PutObject, and the KMS keys of both buckets.",
  "PERMISSION_DENIED CUSTOM":
    "The workflow’s role may not invoke the Lambda function: lambda:InvokeFunction is missing.",
  "PERMISSION_DENIED TAG": "The workflow’s role may not tag the object: s3:PutObjectTagging is missing.",
  "PERMISSION_DENIED DELETE":
    "The workflow’s role may not delete the file: s3:DeleteObject or s3:DeleteObjectVersion is missing.",
  "PERMISSION_DENIED DECRYPT":
    "The workflow’s role may not read the file or its PGP key: s3:GetObject, secretsmanager:GetSecretValue, or their KMS keys.",
  CUSTOM_STEP_FAILED: "The Lambda function itself reported a failure, or crashed. Its own log says why.",
  THROTTLED:
    "Too many executions started at once: AWS allows one per second for each workflow once its burst is used up. Send the file again, more slowly.",
  ALREADY_EXISTS:
    "A file of that name is at the destination, and the step may not overwrite it. It may have been sent twice.",
  NOT_FOUND: "Something the step needs is not there: usually the file was moved or deleted while the workflow ran.",
  "NOT_FOUND DELETE": "The file was already gone: somebody, or an earlier step, had moved or deleted it.",
  "NOT_FOUND CUSTOM": "The Lambda function, or the version or alias that the workflow names, does not exist any more.",
  "NOT_FOUND DECRYPT":
    "The file, or the secret with its PGP key, is not there: aws/transfer/SERVER/USER or its @pgp-default.",
  BAD_REQUEST: "The step is not possible with this file, such as tagging one on EFS.",
  "BAD_REQUEST DECRYPT":
    "The file is not encrypted for our PGP key, is damaged, or is not encrypted at all. Ask the sender which key was used.",
  "BAD_REQUEST TAG": "The file can’t be tagged: it is on EFS, or the tags are invalid or more than ten.",
  TIMEOUT: "The step took longer than it may. AWS ends any step after 30 minutes.",
  "TIMEOUT CUSTOM":
    "The Lambda function did not report back in time. It must call SendWorkflowStepState, also when it fails.",
  INTERNAL_SERVER_ERROR: "AWS itself failed. Sending the file again usually helps; if it does not, ask AWS Support.",
};

export function meaningOf(error: string, step: string | null | undefined): string {
  return MEANS[`${error} ${step}`] ?? MEANS[error] ?? "This page does not know that error. AWS’s own words are above.";
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
