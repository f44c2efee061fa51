/* eslint-disable */
/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
import type { DocumentTypeDecoration } from '@graphql-typed-document-node/core';
/** A tag of an account in the accounts file or the organization. */
export type AccountTag = {
  /** The tag's key. */
  key: string;
  /** The tag's value. */
  value: string;
};

/** Selects accounts and regions that match every given field. A list matches any of its values. */
export type CoverageFilter = {
  /** These accounts. */
  accountIds?: Array<string> | null | undefined;
  /** Only those with a gap. */
  gapsOnly?: boolean | null | undefined;
  /** These regions. */
  regions?: Array<string> | null | undefined;
};

/** Why executions of an account and region may be missing from the history. */
export type CoverageGap =
  /** Its logs are still being read for the first time: more will be found. */
  | 'BEING_READ'
  /** Some of its workflows don't log their executions. */
  | 'NOT_LOGGED'
  /** Its logs can't be read at present: `problem` says why. */
  | 'UNREADABLE';

/** What went wrong. Codes are never renamed. */
export type ErrorCode =
  /** AWS denied the call. */
  | 'ACCESS_DENIED'
  /** The account or region is not configured, or not visible to you. */
  | 'ACCOUNT_NOT_AVAILABLE'
  /** The audit log can't be written, so requests are rejected. In `errors[]` only. */
  | 'AUDIT_LOG_UNAVAILABLE'
  /** The request is invalid; the message names the field and the rule. In `errors[]` only. */
  | 'BAD_USER_INPUT'
  /** The request's deadline passed. */
  | 'DEADLINE_EXCEEDED'
  /** AWS has no such execution in progress, and the history has no record of it. */
  | 'EXECUTION_NOT_FOUND'
  /** The caller is not allowed to do this. In `errors[]` only. */
  | 'FORBIDDEN'
  /** The history is switched off, which this field needs. In `errors[]` only. */
  | 'HISTORY_OFF'
  /** An internal error. In `errors[]` only. */
  | 'INTERNAL_SERVER_ERROR'
  /** CloudWatch Logs has no such log group. In `errors[]` only. */
  | 'LOG_GROUP_NOT_FOUND'
  /** The gateway's role in that account could not be assumed. */
  | 'ROLE_NOT_ASSUMABLE'
  /** AWS has no such server. In `errors[]` only. */
  | 'SERVER_NOT_FOUND'
  /** A limit was reached: AWS's or the gateway's. */
  | 'THROTTLED'
  /** Credentials are missing or invalid. In `errors[]` only. */
  | 'UNAUTHENTICATED'
  /** AWS failed, was unreachable, or sent an unusable response. */
  | 'UPSTREAM_UNAVAILABLE'
  /** AWS has no such workflow. */
  | 'WORKFLOW_NOT_FOUND';

/** What happened. `rawKind` has AWS's own name. */
export type EventKind =
  /** The execution ended; all its steps have succeeded. */
  | 'EXECUTION_COMPLETED'
  /** The execution ended; a step has failed. */
  | 'EXECUTION_ERRORED'
  /** The execution started. */
  | 'EXECUTION_STARTED'
  /** The execution was dropped: too many started at once. */
  | 'EXECUTION_THROTTLED'
  /** A step succeeded. */
  | 'STEP_COMPLETED'
  /** A step failed: `error` says why. */
  | 'STEP_ERRORED'
  /** A step started. */
  | 'STEP_STARTED'
  /** A value that this version doesn't know. The raw companion field has it. */
  | 'UNRECOGNIZED';

/** Identifies an execution. AWS's IDs name neither account nor region, so all four are required. */
export type ExecutionKey = {
  /** The account it runs in. */
  accountId: string;
  /** The execution. */
  executionId: string;
  /** The region it runs in. */
  region: string;
  /** The workflow. */
  workflowId: string;
};

/** Status of an execution. COMPLETED and EXCEPTION are final. */
export type ExecutionStatus =
  /** All its steps have succeeded. */
  | 'COMPLETED'
  /** A step failed, and the on-exception steps are done. */
  | 'EXCEPTION'
  /** A step failed; the workflow's on-exception steps are running. */
  | 'HANDLING_EXCEPTION'
  /** Its steps are running. */
  | 'IN_PROGRESS'
  /** A value that this version doesn't know. The raw companion field has it. */
  | 'UNRECOGNIZED';

/** Why the gateway has no record of an execution that AWS doesn't have in progress. */
export type NotFoundReason =
  /** Unknown: it never existed, or it ended before the log's oldest entry. */
  | 'EXPIRED'
  /** Unknown: the history is switched off, or AWS's view alone was asked for. */
  | 'HISTORY_OFF'
  /** Unknown: its log can't be read at present. */
  | 'LOG_UNREADABLE'
  /** There never was one: its log has no entry of it, and keeps all entries. */
  | 'NEVER_EXISTED'
  /** Unknown: its workflow logs nothing. */
  | 'NOT_LOGGED';

/** Selects executions, in progress and ended, that match every given field. A list matches any of its values, at most 100. */
export type SearchFilter = {
  /** In accounts with one of these aliases, in any case. */
  accountAliases?: Array<string> | null | undefined;
  /** In these accounts. */
  accountIds?: Array<string> | null | undefined;
  /** In accounts with these tags. Several values of one key are alternatives; of several keys all must match. */
  accountTags?: Array<AccountTag> | null | undefined;
  /** Ended at this time or later. */
  endedAfter?: string | null | undefined;
  /** Ended at this time or earlier. */
  endedBefore?: string | null | undefined;
  /** In which a step failed with one of these types. */
  errorTypes?: Array<StepErrorType> | null | undefined;
  /** With these IDs. */
  executionIds?: Array<string> | null | undefined;
  /** Any part of the file's name or path, on S3 or EFS, in any case: 1 to 256 characters. */
  fileName?: string | null | undefined;
  /** Lasted this many seconds or less. What is in progress lasts until now. */
  maxDurationS?: number | null | undefined;
  /** Lasted this many seconds or more. What is in progress lasts until now. */
  minDurationS?: number | null | undefined;
  /** In these regions. */
  regions?: Array<string> | null | undefined;
  /** True: only those that have ended with no record of how. False: none of these. */
  resultUnknown?: boolean | null | undefined;
  /** True: only those in progress. False: only those that have ended. */
  running?: boolean | null | undefined;
  /** Uploaded to these servers. */
  serverIds?: Array<string> | null | undefined;
  /** Uploaded in these sessions. */
  sessionIds?: Array<string> | null | undefined;
  /** Started at this time or later. */
  startedAfter?: string | null | undefined;
  /** Started at this time or earlier. */
  startedBefore?: string | null | undefined;
  /** With these statuses. */
  statuses?: Array<ExecutionStatus> | null | undefined;
  /** Any part of the file's name or path, the user's name or an ID, in any case: 1 to 256 characters. */
  text?: string | null | undefined;
  /** Uploaded by these users. */
  userNames?: Array<string> | null | undefined;
  /** Of these workflows. */
  workflowIds?: Array<string> | null | undefined;
};

/** Order of a search's results. */
export type SearchOrder =
  /** By the duration, longest first. What is in progress lasts until the first page was read. */
  | 'LONGEST_FIRST'
  /** By the start, latest first. */
  | 'NEWEST_FIRST'
  /** By the start, earliest first. */
  | 'OLDEST_FIRST';

/** Selects servers that match every given field. A list matches any of its values. */
export type ServerFilter = {
  /** In these accounts. */
  accountIds?: Array<string> | null | undefined;
  /** In these regions. */
  regions?: Array<string> | null | undefined;
};

/** What something is known from. */
export type Source =
  /** AWS's answer. */
  | 'AWS'
  /** The log in CloudWatch Logs. */
  | 'LOG'
  /** An earlier answer of AWS. */
  | 'OBSERVED';

/** Why a step failed. */
export type StepErrorType =
  /** The destination file exists and overwriting is off. */
  | 'ALREADY_EXISTS'
  /** The step isn't possible, such as tagging a file on EFS. */
  | 'BAD_REQUEST'
  /** The Lambda function reported a failure. */
  | 'CUSTOM_STEP_FAILED'
  /** Any other cause. */
  | 'INTERNAL_SERVER_ERROR'
  /** Something the step needs, such as the source file, doesn't exist. */
  | 'NOT_FOUND'
  /** The workflow's role lacks a permission that the step needs. */
  | 'PERMISSION_DENIED'
  /** Executions started faster than AWS allows: one per second for each workflow. */
  | 'THROTTLED'
  /** The step timed out. */
  | 'TIMEOUT'
  /** A value that this version doesn't know. The raw companion field has it. */
  | 'UNRECOGNIZED';

/** Type of a step. */
export type StepType =
  /** Copies the file. */
  | 'COPY'
  /** Invokes a Lambda function. */
  | 'CUSTOM'
  /** Decrypts the file (PGP). */
  | 'DECRYPT'
  /** Deletes the file. */
  | 'DELETE'
  /** Tags the file (S3 only). */
  | 'TAG'
  /** A value that this version doesn't know. The raw companion field has it. */
  | 'UNRECOGNIZED';

/** Identifies a workflow. AWS's ID names neither account nor region, so all three are required. */
export type WorkflowKey = {
  /** The account it belongs to. */
  accountId: string;
  /** The region it belongs to. */
  region: string;
  /** The workflow. */
  workflowId: string;
};

export type RecordedQueryVariables = Exact<{
  filter: SearchFilter;
}>;


export type RecordedQuery = { searchExecutions: { edges: Array<{ node: { executionRole: string | null, stepsDone: number | null, recordedBy: Array<Source>, id: string, accountId: string, region: string, workflowId: string, executionId: string, status: ExecutionStatus | null, rawStatus: string | null, ending: boolean, startedAt: string | null, endedAt: string | null, durationS: number | null, observedAt: string, initialFileLocation: { s3FileLocation: { versionId: string | null, etag: string | null, bucket: string | null, key: string | null } | null, efsFileLocation: { fileSystemId: string | null, path: string | null } | null } | null, serviceMetadata: { userDetails: { sessionId: string | null, userName: string, serverId: string } } | null, loggingConfiguration: { loggingRole: string | null, logGroupName: string | null } | null, posixProfile: { uid: number, gid: number, secondaryGids: Array<number> | null } | null, results: { steps: Array<{ name: string | null, stepType: StepType | null, rawStepType: string | null, startedAt: string | null, endedAt: string | null, durationS: number | null, outputs: string | null, error: { type: StepErrorType, rawType: string, message: string } | null, explanation: { meaning: string, check: Array<string> } | null, fileLocation: { s3FileLocation: { bucket: string | null, key: string | null } | null, efsFileLocation: { fileSystemId: string | null, path: string | null } | null } | null }> | null, onExceptionSteps: Array<{ name: string | null, stepType: StepType | null, rawStepType: string | null, startedAt: string | null, endedAt: string | null, durationS: number | null, outputs: string | null, error: { type: StepErrorType, rawType: string, message: string } | null, explanation: { meaning: string, check: Array<string> } | null, fileLocation: { s3FileLocation: { bucket: string | null, key: string | null } | null, efsFileLocation: { fileSystemId: string | null, path: string | null } | null } | null }> | null } | null, events: { edges: Array<{ node: { id: string, occurredAt: string, observedAt: string, kind: EventKind, rawKind: string, stepName: string | null, stepType: StepType | null, rawStepType: string | null, error: { rawType: string, message: string } | null } }>, pageInfo: { hasNextPage: boolean } }, account: { alias: string | null }, failedStep: { name: string | null, stepType: StepType | null, rawStepType: string | null, error: { type: StepErrorType, rawType: string } | null } | null } }> } };

export type ExecutionQueryVariables = Exact<{
  key: ExecutionKey;
}>;


export type ExecutionQuery = { executionOrError:
    | { __typename: 'AccessDenied', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
    | { __typename: 'AccountNotAvailable', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
    | { __typename: 'DeadlineExceeded', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
    | { __typename: 'Execution', executionRole: string | null, stepsDone: number | null, recordedBy: Array<Source>, id: string, accountId: string, region: string, workflowId: string, executionId: string, status: ExecutionStatus | null, rawStatus: string | null, ending: boolean, startedAt: string | null, endedAt: string | null, durationS: number | null, observedAt: string, initialFileLocation: { s3FileLocation: { versionId: string | null, etag: string | null, bucket: string | null, key: string | null } | null, efsFileLocation: { fileSystemId: string | null, path: string | null } | null } | null, serviceMetadata: { userDetails: { sessionId: string | null, userName: string, serverId: string } } | null, loggingConfiguration: { loggingRole: string | null, logGroupName: string | null } | null, posixProfile: { uid: number, gid: number, secondaryGids: Array<number> | null } | null, results: { steps: Array<{ name: string | null, stepType: StepType | null, rawStepType: string | null, startedAt: string | null, endedAt: string | null, durationS: number | null, outputs: string | null, error: { type: StepErrorType, rawType: string, message: string } | null, explanation: { meaning: string, check: Array<string> } | null, fileLocation: { s3FileLocation: { bucket: string | null, key: string | null } | null, efsFileLocation: { fileSystemId: string | null, path: string | null } | null } | null }> | null, onExceptionSteps: Array<{ name: string | null, stepType: StepType | null, rawStepType: string | null, startedAt: string | null, endedAt: string | null, durationS: number | null, outputs: string | null, error: { type: StepErrorType, rawType: string, message: string } | null, explanation: { meaning: string, check: Array<string> } | null, fileLocation: { s3FileLocation: { bucket: string | null, key: string | null } | null, efsFileLocation: { fileSystemId: string | null, path: string | null } | null } | null }> | null } | null, events: { edges: Array<{ node: { id: string, occurredAt: string, observedAt: string, kind: EventKind, rawKind: string, stepName: string | null, stepType: StepType | null, rawStepType: string | null, error: { rawType: string, message: string } | null } }>, pageInfo: { hasNextPage: boolean } }, account: { alias: string | null }, failedStep: { name: string | null, stepType: StepType | null, rawStepType: string | null, error: { type: StepErrorType, rawType: string } | null } | null }
    | { __typename: 'ExecutionNotFound', reason: NotFoundReason, remedy: string | null, code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
    | { __typename: 'RoleNotAssumable', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
    | { __typename: 'Throttled', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
    | { __typename: 'UpstreamUnavailable', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
   };

export type ExecutionChangedSubscriptionVariables = Exact<{
  key: ExecutionKey;
  after?: string | null | undefined;
}>;


export type ExecutionChangedSubscription = { change: { cursor: string, execution: { executionRole: string | null, stepsDone: number | null, recordedBy: Array<Source>, id: string, accountId: string, region: string, workflowId: string, executionId: string, status: ExecutionStatus | null, rawStatus: string | null, ending: boolean, startedAt: string | null, endedAt: string | null, durationS: number | null, observedAt: string, initialFileLocation: { s3FileLocation: { versionId: string | null, etag: string | null, bucket: string | null, key: string | null } | null, efsFileLocation: { fileSystemId: string | null, path: string | null } | null } | null, serviceMetadata: { userDetails: { sessionId: string | null, userName: string, serverId: string } } | null, loggingConfiguration: { loggingRole: string | null, logGroupName: string | null } | null, posixProfile: { uid: number, gid: number, secondaryGids: Array<number> | null } | null, results: { steps: Array<{ name: string | null, stepType: StepType | null, rawStepType: string | null, startedAt: string | null, endedAt: string | null, durationS: number | null, outputs: string | null, error: { type: StepErrorType, rawType: string, message: string } | null, explanation: { meaning: string, check: Array<string> } | null, fileLocation: { s3FileLocation: { bucket: string | null, key: string | null } | null, efsFileLocation: { fileSystemId: string | null, path: string | null } | null } | null }> | null, onExceptionSteps: Array<{ name: string | null, stepType: StepType | null, rawStepType: string | null, startedAt: string | null, endedAt: string | null, durationS: number | null, outputs: string | null, error: { type: StepErrorType, rawType: string, message: string } | null, explanation: { meaning: string, check: Array<string> } | null, fileLocation: { s3FileLocation: { bucket: string | null, key: string | null } | null, efsFileLocation: { fileSystemId: string | null, path: string | null } | null } | null }> | null } | null, events: { edges: Array<{ node: { id: string, occurredAt: string, observedAt: string, kind: EventKind, rawKind: string, stepName: string | null, stepType: StepType | null, rawStepType: string | null, error: { rawType: string, message: string } | null } }>, pageInfo: { hasNextPage: boolean } }, account: { alias: string | null }, failedStep: { name: string | null, stepType: StepType | null, rawStepType: string | null, error: { type: StepErrorType, rawType: string } | null } | null } } };

export type DefinitionQueryVariables = Exact<{
  key: WorkflowKey;
}>;


export type DefinitionQuery = { workflowOrError:
    | { __typename: 'AccessDenied', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
    | { __typename: 'AccountNotAvailable', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
    | { __typename: 'DeadlineExceeded', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
    | { __typename: 'RoleNotAssumable', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
    | { __typename: 'Throttled', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
    | { __typename: 'UpstreamUnavailable', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
    | { __typename: 'Workflow', id: string, description: string | null, structuredLogDestinations: Array<string> | null, steps: Array<{ type: StepType | null, rawType: string | null, name: string | null, copyStepDetails: { destinationFileLocation: { s3FileLocation: { bucket: string | null, key: string | null } | null, efsFileLocation: { fileSystemId: string | null, path: string | null } | null } | null } | null, decryptStepDetails: { destinationFileLocation: { s3FileLocation: { bucket: string | null, key: string | null } | null, efsFileLocation: { fileSystemId: string | null, path: string | null } | null } } | null }> | null, onExceptionSteps: Array<{ type: StepType | null, rawType: string | null, name: string | null, copyStepDetails: { destinationFileLocation: { s3FileLocation: { bucket: string | null, key: string | null } | null, efsFileLocation: { fileSystemId: string | null, path: string | null } | null } | null } | null, decryptStepDetails: { destinationFileLocation: { s3FileLocation: { bucket: string | null, key: string | null } | null, efsFileLocation: { fileSystemId: string | null, path: string | null } | null } } | null }> | null }
    | { __typename: 'WorkflowNotFound', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
   };

export type ServerLogQueryVariables = Exact<{
  id: string | number;
}>;


export type ServerLogQuery = { node:
    | { __typename: 'Account' }
    | { __typename: 'Execution' }
    | { __typename: 'ExecutionEvent' }
    | { __typename: 'Server', id: string, logGroup: string | null }
    | { __typename: 'Workflow' }
   | null };

export type UsualQueryVariables = Exact<{
  filter: SearchFilter;
}>;


export type UsualQuery = { searchExecutions: { edges: Array<{ node: { id: string, durationS: number | null, results: { steps: Array<{ stepType: StepType | null, durationS: number | null }> | null } | null } }> } };

export type WholeFragment = { executionRole: string | null, stepsDone: number | null, recordedBy: Array<Source>, id: string, accountId: string, region: string, workflowId: string, executionId: string, status: ExecutionStatus | null, rawStatus: string | null, ending: boolean, startedAt: string | null, endedAt: string | null, durationS: number | null, observedAt: string, initialFileLocation: { s3FileLocation: { versionId: string | null, etag: string | null, bucket: string | null, key: string | null } | null, efsFileLocation: { fileSystemId: string | null, path: string | null } | null } | null, serviceMetadata: { userDetails: { sessionId: string | null, userName: string, serverId: string } } | null, loggingConfiguration: { loggingRole: string | null, logGroupName: string | null } | null, posixProfile: { uid: number, gid: number, secondaryGids: Array<number> | null } | null, results: { steps: Array<{ name: string | null, stepType: StepType | null, rawStepType: string | null, startedAt: string | null, endedAt: string | null, durationS: number | null, outputs: string | null, error: { type: StepErrorType, rawType: string, message: string } | null, explanation: { meaning: string, check: Array<string> } | null, fileLocation: { s3FileLocation: { bucket: string | null, key: string | null } | null, efsFileLocation: { fileSystemId: string | null, path: string | null } | null } | null }> | null, onExceptionSteps: Array<{ name: string | null, stepType: StepType | null, rawStepType: string | null, startedAt: string | null, endedAt: string | null, durationS: number | null, outputs: string | null, error: { type: StepErrorType, rawType: string, message: string } | null, explanation: { meaning: string, check: Array<string> } | null, fileLocation: { s3FileLocation: { bucket: string | null, key: string | null } | null, efsFileLocation: { fileSystemId: string | null, path: string | null } | null } | null }> | null } | null, events: { edges: Array<{ node: { id: string, occurredAt: string, observedAt: string, kind: EventKind, rawKind: string, stepName: string | null, stepType: StepType | null, rawStepType: string | null, error: { rawType: string, message: string } | null } }>, pageInfo: { hasNextPage: boolean } }, account: { alias: string | null }, failedStep: { name: string | null, stepType: StepType | null, rawStepType: string | null, error: { type: StepErrorType, rawType: string } | null } | null };

export type DefinedStepFragment = { type: StepType | null, rawType: string | null, name: string | null, copyStepDetails: { destinationFileLocation: { s3FileLocation: { bucket: string | null, key: string | null } | null, efsFileLocation: { fileSystemId: string | null, path: string | null } | null } | null } | null, decryptStepDetails: { destinationFileLocation: { s3FileLocation: { bucket: string | null, key: string | null } | null, efsFileLocation: { fileSystemId: string | null, path: string | null } | null } } | null };

export type DestinationFragment = { s3FileLocation: { bucket: string | null, key: string | null } | null, efsFileLocation: { fileSystemId: string | null, path: string | null } | null };

export type ExecutionsQueryVariables = Exact<{
  filter: SearchFilter;
  everyStatus: SearchFilter;
  first: number;
  order: SearchOrder;
}>;


export type ExecutionsQuery = { page: { changesCursor: string | null, edges: Array<{ node: { id: string, accountId: string, region: string, workflowId: string, executionId: string, status: ExecutionStatus | null, rawStatus: string | null, ending: boolean, startedAt: string | null, endedAt: string | null, durationS: number | null, observedAt: string, account: { alias: string | null }, initialFileLocation: { s3FileLocation: { bucket: string | null, key: string | null } | null, efsFileLocation: { fileSystemId: string | null, path: string | null } | null } | null, serviceMetadata: { userDetails: { userName: string, serverId: string } } | null, failedStep: { name: string | null, stepType: StepType | null, rawStepType: string | null, error: { type: StepErrorType, rawType: string } | null } | null } }>, pageInfo: { hasNextPage: boolean, endCursor: string | null } }, summary: { countsByStatus: { total: number, isExact: boolean, counts: Array<{ status: ExecutionStatus | null, count: number }> } | null, coverage: Array<{ region: string, since: string | null, completeUntil: string | null, gap: CoverageGap | null, unloggedWorkflows: number, remedy: string | null, account: { accountId: string, alias: string | null }, server: { serverId: string } | null, problem:
        | { __typename: 'AccessDenied', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
        | { __typename: 'AccountNotAvailable', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
        | { __typename: 'DeadlineExceeded', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
        | { __typename: 'ExecutionNotFound', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
        | { __typename: 'RoleNotAssumable', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
        | { __typename: 'Throttled', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
        | { __typename: 'UpstreamUnavailable', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
        | { __typename: 'WorkflowNotFound', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
       | null }>, coverageSummary: { withGap: number, total: number }, hiddenFilters: Array<{ filterField: string, hiddenField: string, targets: number }> } };

export type MoreExecutionsQueryVariables = Exact<{
  filter: SearchFilter;
  first: number;
  after: string;
  order: SearchOrder;
}>;


export type MoreExecutionsQuery = { page: { edges: Array<{ node: { id: string, accountId: string, region: string, workflowId: string, executionId: string, status: ExecutionStatus | null, rawStatus: string | null, ending: boolean, startedAt: string | null, endedAt: string | null, durationS: number | null, observedAt: string, account: { alias: string | null }, initialFileLocation: { s3FileLocation: { bucket: string | null, key: string | null } | null, efsFileLocation: { fileSystemId: string | null, path: string | null } | null } | null, serviceMetadata: { userDetails: { userName: string, serverId: string } } | null, failedStep: { name: string | null, stepType: StepType | null, rawStepType: string | null, error: { type: StepErrorType, rawType: string } | null } | null } }>, pageInfo: { hasNextPage: boolean, endCursor: string | null } } };

export type ExecutionsSummaryQueryVariables = Exact<{
  everyStatus: SearchFilter;
}>;


export type ExecutionsSummaryQuery = { summary: { countsByStatus: { total: number, isExact: boolean, counts: Array<{ status: ExecutionStatus | null, count: number }> } | null, coverage: Array<{ region: string, since: string | null, completeUntil: string | null, gap: CoverageGap | null, unloggedWorkflows: number, remedy: string | null, account: { accountId: string, alias: string | null }, server: { serverId: string } | null, problem:
        | { __typename: 'AccessDenied', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
        | { __typename: 'AccountNotAvailable', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
        | { __typename: 'DeadlineExceeded', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
        | { __typename: 'ExecutionNotFound', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
        | { __typename: 'RoleNotAssumable', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
        | { __typename: 'Throttled', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
        | { __typename: 'UpstreamUnavailable', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
        | { __typename: 'WorkflowNotFound', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
       | null }>, coverageSummary: { withGap: number, total: number }, hiddenFilters: Array<{ filterField: string, hiddenField: string, targets: number }> } };

export type ExecutionsCsvQueryVariables = Exact<{
  filter: SearchFilter;
  first: number;
  after?: string | null | undefined;
  order: SearchOrder;
}>;


export type ExecutionsCsvQuery = { page: { edges: Array<{ node: { stepsDone: number | null, id: string, accountId: string, region: string, workflowId: string, executionId: string, status: ExecutionStatus | null, rawStatus: string | null, ending: boolean, startedAt: string | null, endedAt: string | null, durationS: number | null, observedAt: string, failedStep: { name: string | null, stepType: StepType | null, rawStepType: string | null, error: { message: string, type: StepErrorType, rawType: string } | null } | null, account: { alias: string | null }, initialFileLocation: { s3FileLocation: { bucket: string | null, key: string | null } | null, efsFileLocation: { fileSystemId: string | null, path: string | null } | null } | null, serviceMetadata: { userDetails: { userName: string, serverId: string } } | null } }>, pageInfo: { hasNextPage: boolean, endCursor: string | null } } };

export type ExecutionsChangedSubscriptionVariables = Exact<{
  filter: SearchFilter;
  after?: string | null | undefined;
}>;


export type ExecutionsChangedSubscription = { change: { cursor: string, execution: { id: string, accountId: string, region: string, workflowId: string, executionId: string, status: ExecutionStatus | null, rawStatus: string | null, ending: boolean, startedAt: string | null, endedAt: string | null, durationS: number | null, observedAt: string, account: { alias: string | null }, initialFileLocation: { s3FileLocation: { bucket: string | null, key: string | null } | null, efsFileLocation: { fileSystemId: string | null, path: string | null } | null } | null, serviceMetadata: { userDetails: { userName: string, serverId: string } } | null, failedStep: { name: string | null, stepType: StepType | null, rawStepType: string | null, error: { type: StepErrorType, rawType: string } | null } | null } } };

export type FindQueryVariables = Exact<{
  executionId: string;
}>;


export type FindQuery = { findExecution: { targetsAsked: number, execution: { id: string } | null, targetFailures: Array<{ error:
        | { __typename: 'AccessDenied', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
        | { __typename: 'AccountNotAvailable', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
        | { __typename: 'DeadlineExceeded', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
        | { __typename: 'ExecutionNotFound', reason: NotFoundReason, remedy: string | null, code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
        | { __typename: 'RoleNotAssumable', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
        | { __typename: 'Throttled', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
        | { __typename: 'UpstreamUnavailable', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
        | { __typename: 'WorkflowNotFound', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
       }> } };

export type PageFragment = { edges: Array<{ node: { id: string, accountId: string, region: string, workflowId: string, executionId: string, status: ExecutionStatus | null, rawStatus: string | null, ending: boolean, startedAt: string | null, endedAt: string | null, durationS: number | null, observedAt: string, account: { alias: string | null }, initialFileLocation: { s3FileLocation: { bucket: string | null, key: string | null } | null, efsFileLocation: { fileSystemId: string | null, path: string | null } | null } | null, serviceMetadata: { userDetails: { userName: string, serverId: string } } | null, failedStep: { name: string | null, stepType: StepType | null, rawStepType: string | null, error: { type: StepErrorType, rawType: string } | null } | null } }>, pageInfo: { hasNextPage: boolean, endCursor: string | null } };

export type FileFragment = { s3FileLocation: { bucket: string | null, key: string | null } | null, efsFileLocation: { fileSystemId: string | null, path: string | null } | null };

export type StepFragment = { name: string | null, stepType: StepType | null, rawStepType: string | null, startedAt: string | null, endedAt: string | null, durationS: number | null, outputs: string | null, error: { type: StepErrorType, rawType: string, message: string } | null, explanation: { meaning: string, check: Array<string> } | null, fileLocation: { s3FileLocation: { bucket: string | null, key: string | null } | null, efsFileLocation: { fileSystemId: string | null, path: string | null } | null } | null };

export type RowFragment = { id: string, accountId: string, region: string, workflowId: string, executionId: string, status: ExecutionStatus | null, rawStatus: string | null, ending: boolean, startedAt: string | null, endedAt: string | null, durationS: number | null, observedAt: string, account: { alias: string | null }, initialFileLocation: { s3FileLocation: { bucket: string | null, key: string | null } | null, efsFileLocation: { fileSystemId: string | null, path: string | null } | null } | null, serviceMetadata: { userDetails: { userName: string, serverId: string } } | null, failedStep: { name: string | null, stepType: StepType | null, rawStepType: string | null, error: { type: StepErrorType, rawType: string } | null } | null };

type Problem_AccessDenied_Fragment = { __typename: 'AccessDenied', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null };

type Problem_AccountNotAvailable_Fragment = { __typename: 'AccountNotAvailable', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null };

type Problem_DeadlineExceeded_Fragment = { __typename: 'DeadlineExceeded', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null };

type Problem_ExecutionNotFound_Fragment = { __typename: 'ExecutionNotFound', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null };

type Problem_RoleNotAssumable_Fragment = { __typename: 'RoleNotAssumable', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null };

type Problem_Throttled_Fragment = { __typename: 'Throttled', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null };

type Problem_UpstreamUnavailable_Fragment = { __typename: 'UpstreamUnavailable', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null };

type Problem_WorkflowNotFound_Fragment = { __typename: 'WorkflowNotFound', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null };

export type ProblemFragment =
  | Problem_AccessDenied_Fragment
  | Problem_AccountNotAvailable_Fragment
  | Problem_DeadlineExceeded_Fragment
  | Problem_ExecutionNotFound_Fragment
  | Problem_RoleNotAssumable_Fragment
  | Problem_Throttled_Fragment
  | Problem_UpstreamUnavailable_Fragment
  | Problem_WorkflowNotFound_Fragment
;

export type CoverageFragment = { region: string, since: string | null, completeUntil: string | null, gap: CoverageGap | null, unloggedWorkflows: number, remedy: string | null, account: { accountId: string, alias: string | null }, server: { serverId: string } | null, problem:
    | { __typename: 'AccessDenied', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
    | { __typename: 'AccountNotAvailable', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
    | { __typename: 'DeadlineExceeded', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
    | { __typename: 'ExecutionNotFound', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
    | { __typename: 'RoleNotAssumable', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
    | { __typename: 'Throttled', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
    | { __typename: 'UpstreamUnavailable', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
    | { __typename: 'WorkflowNotFound', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
   | null };

export type SummaryFragment = { countsByStatus: { total: number, isExact: boolean, counts: Array<{ status: ExecutionStatus | null, count: number }> } | null, coverage: Array<{ region: string, since: string | null, completeUntil: string | null, gap: CoverageGap | null, unloggedWorkflows: number, remedy: string | null, account: { accountId: string, alias: string | null }, server: { serverId: string } | null, problem:
      | { __typename: 'AccessDenied', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
      | { __typename: 'AccountNotAvailable', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
      | { __typename: 'DeadlineExceeded', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
      | { __typename: 'ExecutionNotFound', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
      | { __typename: 'RoleNotAssumable', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
      | { __typename: 'Throttled', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
      | { __typename: 'UpstreamUnavailable', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
      | { __typename: 'WorkflowNotFound', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
     | null }>, coverageSummary: { withGap: number, total: number }, hiddenFilters: Array<{ filterField: string, hiddenField: string, targets: number }> };

export type ViewerQueryVariables = Exact<{ [key: string]: never; }>;


export type ViewerQuery = { viewer: { name: string, expiresAt: string | null, hiddenFields: Array<string>, accounts: Array<{ accountId: string, alias: string | null, regions: Array<string> }> } };

export type TargetsQueryVariables = Exact<{
  filter?: CoverageFilter | null | undefined;
  first: number;
  after?: string | null | undefined;
}>;


export type TargetsQuery = { coverage: { edges: Array<{ node: { region: string, since: string | null, completeUntil: string | null, gap: CoverageGap | null, unloggedWorkflows: number, remedy: string | null, account: { accountId: string, alias: string | null }, server: { serverId: string } | null, problem:
          | { __typename: 'AccessDenied', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
          | { __typename: 'AccountNotAvailable', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
          | { __typename: 'DeadlineExceeded', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
          | { __typename: 'ExecutionNotFound', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
          | { __typename: 'RoleNotAssumable', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
          | { __typename: 'Throttled', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
          | { __typename: 'UpstreamUnavailable', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
          | { __typename: 'WorkflowNotFound', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
         | null } }>, pageInfo: { hasNextPage: boolean, endCursor: string | null }, summary: { covered: number, withGap: number, total: number } } };

export type TargetQueryVariables = Exact<{
  all: SearchFilter;
  running: SearchFilter;
  failed: SearchFilter;
}>;


export type TargetQuery = { last: { edges: Array<{ node: { id: string, startedAt: string | null, observedAt: string } }> }, running: { countsByStatus: { total: number, isExact: boolean } | null }, failed: { countsByStatus: { total: number, isExact: boolean } | null } };

export type ServersQueryVariables = Exact<{
  filter: ServerFilter;
}>;


export type ServersQuery = { servers: { edges: Array<{ node: { id: string, serverId: string, rawState: string | null, rawProtocols: Array<string> | null, logGroup: string | null, onUpload: Array<{ workflowId: string }>, onPartialUpload: Array<{ workflowId: string }> } }>, pageInfo: { hasNextPage: boolean }, targetFailures: Array<{ error:
        | { __typename: 'AccessDenied', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
        | { __typename: 'AccountNotAvailable', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
        | { __typename: 'DeadlineExceeded', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
        | { __typename: 'ExecutionNotFound', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
        | { __typename: 'RoleNotAssumable', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
        | { __typename: 'Throttled', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
        | { __typename: 'UpstreamUnavailable', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
        | { __typename: 'WorkflowNotFound', code: ErrorCode, message: string, retryable: boolean, awsRequestId: string | null, target: { accountId: string, region: string | null } | null }
       }> } };

export class TypedDocumentString<TResult, TVariables>
  extends String
  implements DocumentTypeDecoration<TResult, TVariables>
{
  __apiType?: NonNullable<DocumentTypeDecoration<TResult, TVariables>['__apiType']>;
  private value: string;
  public __meta__?: Record<string, any> | undefined;

  constructor(value: string, __meta__?: Record<string, any> | undefined) {
    super(value);
    this.value = value;
    this.__meta__ = __meta__;
  }

  override toString(): string & DocumentTypeDecoration<TResult, TVariables> {
    return this.value;
  }
}
export const FileFragmentDoc = /*#__PURE__*/ new TypedDocumentString(`
    fragment File on FileLocation {
  s3FileLocation {
    bucket
    key
  }
  efsFileLocation {
    fileSystemId
    path
  }
}
    `, {"fragmentName":"File"}) as unknown as TypedDocumentString<FileFragment, unknown>;
export const RowFragmentDoc = /*#__PURE__*/ new TypedDocumentString(`
    fragment Row on Execution {
  id
  accountId
  region
  workflowId
  executionId
  account {
    alias
  }
  initialFileLocation {
    ...File
  }
  serviceMetadata {
    userDetails {
      userName
      serverId
    }
  }
  status
  rawStatus
  ending
  startedAt
  endedAt
  durationS
  observedAt
  failedStep {
    name
    stepType
    rawStepType
    error {
      type
      rawType
    }
  }
}
    fragment File on FileLocation {
  s3FileLocation {
    bucket
    key
  }
  efsFileLocation {
    fileSystemId
    path
  }
}`, {"fragmentName":"Row"}) as unknown as TypedDocumentString<RowFragment, unknown>;
export const StepFragmentDoc = /*#__PURE__*/ new TypedDocumentString(`
    fragment Step on ExecutionStepResult {
  name
  stepType
  rawStepType
  startedAt
  endedAt
  durationS
  outputs
  error {
    type
    rawType
    message
  }
  explanation {
    meaning
    check
  }
  fileLocation {
    ...File
  }
}
    fragment File on FileLocation {
  s3FileLocation {
    bucket
    key
  }
  efsFileLocation {
    fileSystemId
    path
  }
}`, {"fragmentName":"Step"}) as unknown as TypedDocumentString<StepFragment, unknown>;
export const WholeFragmentDoc = /*#__PURE__*/ new TypedDocumentString(`
    fragment Whole on Execution {
  ...Row
  initialFileLocation {
    s3FileLocation {
      versionId
      etag
    }
  }
  serviceMetadata {
    userDetails {
      sessionId
    }
  }
  executionRole
  loggingConfiguration {
    loggingRole
    logGroupName
  }
  posixProfile {
    uid
    gid
    secondaryGids
  }
  stepsDone
  recordedBy
  results {
    steps {
      ...Step
    }
    onExceptionSteps {
      ...Step
    }
  }
  events(first: 200) {
    edges {
      node {
        id
        occurredAt
        observedAt
        kind
        rawKind
        stepName
        stepType
        rawStepType
        error {
          rawType
          message
        }
      }
    }
    pageInfo {
      hasNextPage
    }
  }
}
    fragment File on FileLocation {
  s3FileLocation {
    bucket
    key
  }
  efsFileLocation {
    fileSystemId
    path
  }
}
fragment Step on ExecutionStepResult {
  name
  stepType
  rawStepType
  startedAt
  endedAt
  durationS
  outputs
  error {
    type
    rawType
    message
  }
  explanation {
    meaning
    check
  }
  fileLocation {
    ...File
  }
}
fragment Row on Execution {
  id
  accountId
  region
  workflowId
  executionId
  account {
    alias
  }
  initialFileLocation {
    ...File
  }
  serviceMetadata {
    userDetails {
      userName
      serverId
    }
  }
  status
  rawStatus
  ending
  startedAt
  endedAt
  durationS
  observedAt
  failedStep {
    name
    stepType
    rawStepType
    error {
      type
      rawType
    }
  }
}`, {"fragmentName":"Whole"}) as unknown as TypedDocumentString<WholeFragment, unknown>;
export const DestinationFragmentDoc = /*#__PURE__*/ new TypedDocumentString(`
    fragment Destination on InputFileLocation {
  s3FileLocation {
    bucket
    key
  }
  efsFileLocation {
    fileSystemId
    path
  }
}
    `, {"fragmentName":"Destination"}) as unknown as TypedDocumentString<DestinationFragment, unknown>;
export const DefinedStepFragmentDoc = /*#__PURE__*/ new TypedDocumentString(`
    fragment DefinedStep on WorkflowStep {
  type
  rawType
  name
  copyStepDetails {
    destinationFileLocation {
      ...Destination
    }
  }
  decryptStepDetails {
    destinationFileLocation {
      ...Destination
    }
  }
}
    fragment Destination on InputFileLocation {
  s3FileLocation {
    bucket
    key
  }
  efsFileLocation {
    fileSystemId
    path
  }
}`, {"fragmentName":"DefinedStep"}) as unknown as TypedDocumentString<DefinedStepFragment, unknown>;
export const PageFragmentDoc = /*#__PURE__*/ new TypedDocumentString(`
    fragment Page on ExecutionSearchConnection {
  edges {
    node {
      ...Row
    }
  }
  pageInfo {
    hasNextPage
    endCursor
  }
}
    fragment File on FileLocation {
  s3FileLocation {
    bucket
    key
  }
  efsFileLocation {
    fileSystemId
    path
  }
}
fragment Row on Execution {
  id
  accountId
  region
  workflowId
  executionId
  account {
    alias
  }
  initialFileLocation {
    ...File
  }
  serviceMetadata {
    userDetails {
      userName
      serverId
    }
  }
  status
  rawStatus
  ending
  startedAt
  endedAt
  durationS
  observedAt
  failedStep {
    name
    stepType
    rawStepType
    error {
      type
      rawType
    }
  }
}`, {"fragmentName":"Page"}) as unknown as TypedDocumentString<PageFragment, unknown>;
export const ProblemFragmentDoc = /*#__PURE__*/ new TypedDocumentString(`
    fragment Problem on Error {
  __typename
  code
  message
  retryable
  awsRequestId
  target {
    accountId
    region
  }
}
    `, {"fragmentName":"Problem"}) as unknown as TypedDocumentString<ProblemFragment, unknown>;
export const CoverageFragmentDoc = /*#__PURE__*/ new TypedDocumentString(`
    fragment Coverage on TargetCoverage {
  account {
    accountId
    alias
  }
  region
  server {
    serverId
  }
  since
  completeUntil
  gap
  unloggedWorkflows
  problem {
    ...Problem
  }
  remedy
}
    fragment Problem on Error {
  __typename
  code
  message
  retryable
  awsRequestId
  target {
    accountId
    region
  }
}`, {"fragmentName":"Coverage"}) as unknown as TypedDocumentString<CoverageFragment, unknown>;
export const SummaryFragmentDoc = /*#__PURE__*/ new TypedDocumentString(`
    fragment Summary on ExecutionSearchConnection {
  countsByStatus {
    counts {
      status
      count
    }
    total
    isExact
  }
  coverage {
    ...Coverage
  }
  coverageSummary {
    withGap
    total
  }
  hiddenFilters {
    filterField
    hiddenField
    targets
  }
}
    fragment Problem on Error {
  __typename
  code
  message
  retryable
  awsRequestId
  target {
    accountId
    region
  }
}
fragment Coverage on TargetCoverage {
  account {
    accountId
    alias
  }
  region
  server {
    serverId
  }
  since
  completeUntil
  gap
  unloggedWorkflows
  problem {
    ...Problem
  }
  remedy
}`, {"fragmentName":"Summary"}) as unknown as TypedDocumentString<SummaryFragment, unknown>;
export const RecordedDocument = {"__meta__":{"hash":"sha256:5029a4c4374d60f31c0ec717529bb68b43b76d2b288772530508e452d6d611ad"}} as unknown as TypedDocumentString<RecordedQuery, RecordedQueryVariables>;
export const ExecutionDocument = {"__meta__":{"hash":"sha256:b81a50ed45c419e0fc21f977b6473aadd0766d8ef14725245c2345ffa33704d9"}} as unknown as TypedDocumentString<ExecutionQuery, ExecutionQueryVariables>;
export const ExecutionChangedDocument = {"__meta__":{"hash":"sha256:66d9ac33fc6c7688419aae61e5e3b7c0b749efc85efabdb9692cdda4c901d3ad"}} as unknown as TypedDocumentString<ExecutionChangedSubscription, ExecutionChangedSubscriptionVariables>;
export const DefinitionDocument = {"__meta__":{"hash":"sha256:20c4b50dd0c78d518acd88d0d1a027ae0a8845f1d2b87530b61e0bd7fa6670ce"}} as unknown as TypedDocumentString<DefinitionQuery, DefinitionQueryVariables>;
export const ServerLogDocument = {"__meta__":{"hash":"sha256:f398d8bc6e3bc101a5254aa71a4910e838431d8263c3b780e1019bb3a10cfa26"}} as unknown as TypedDocumentString<ServerLogQuery, ServerLogQueryVariables>;
export const UsualDocument = {"__meta__":{"hash":"sha256:b88fa9fa97dd7cb0286e3d2bf256c049453b48f9869c4be390b1ce419aa2c937"}} as unknown as TypedDocumentString<UsualQuery, UsualQueryVariables>;
export const ExecutionsDocument = {"__meta__":{"hash":"sha256:6c11a7332cecf948ade5019a7f72548ec20cd065067bf6b48ad96c0e4d957af8"}} as unknown as TypedDocumentString<ExecutionsQuery, ExecutionsQueryVariables>;
export const MoreExecutionsDocument = {"__meta__":{"hash":"sha256:9a74b2f0c0ef12e321a31625851f8b2f0d130e1e61380986dcb61c1ac3c215b1"}} as unknown as TypedDocumentString<MoreExecutionsQuery, MoreExecutionsQueryVariables>;
export const ExecutionsSummaryDocument = {"__meta__":{"hash":"sha256:d076a4eae8a88d0520ceaf1c66d9362d69abd8ec266d63bae5d79f7a0cf21f44"}} as unknown as TypedDocumentString<ExecutionsSummaryQuery, ExecutionsSummaryQueryVariables>;
export const ExecutionsCsvDocument = {"__meta__":{"hash":"sha256:7d0ee67b475d83a6bc4339b16e8b0a12a40646cab58cffe51c2d49ccdda6bac8"}} as unknown as TypedDocumentString<ExecutionsCsvQuery, ExecutionsCsvQueryVariables>;
export const ExecutionsChangedDocument = {"__meta__":{"hash":"sha256:71140136b2e6a9a26fd3c285596042990055eb42bd67f2435ff1d77fa8018a31"}} as unknown as TypedDocumentString<ExecutionsChangedSubscription, ExecutionsChangedSubscriptionVariables>;
export const FindDocument = {"__meta__":{"hash":"sha256:5af68a52688f9b6a6f8af3e53f90aad355d415086150038c7e389eafeb60d9d9"}} as unknown as TypedDocumentString<FindQuery, FindQueryVariables>;
export const ViewerDocument = {"__meta__":{"hash":"sha256:fb503c745ec96c6ad88ced860184ef2be0278d1427e2f760c720637a67ecdc5f"}} as unknown as TypedDocumentString<ViewerQuery, ViewerQueryVariables>;
export const TargetsDocument = {"__meta__":{"hash":"sha256:99c53cbdd142b0c369092e59e5a612a9e450602032fbec5196bcc1c3f1c3acb5"}} as unknown as TypedDocumentString<TargetsQuery, TargetsQueryVariables>;
export const TargetDocument = {"__meta__":{"hash":"sha256:57498ba91fc70d160fc44bd464baa28707af4273e2029256890b0293f464d2be"}} as unknown as TypedDocumentString<TargetQuery, TargetQueryVariables>;
export const ServersDocument = {"__meta__":{"hash":"sha256:dd0b46bc57af36b7a758db6e068141192bf37088de9fd885ef141838b6d8e5e8"}} as unknown as TypedDocumentString<ServersQuery, ServersQueryVariables>;