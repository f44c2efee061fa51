/** The initial tabs, each named by its operation. No line is wider than an editor at 1,280 px. Outside the demo their ids are made up, in the correct format. */

export interface Key {
  accountId: string;
  region: string;
  workflowId: string;
  executionId: string;
}

export interface Example {
  query: string;
  variables: string;
}

const PLACEHOLDER: Key = {
  accountId: "111111111111",
  region: "eu-west-1",
  workflowId: "w-1a2b3c4d5e6f7a8b9",
  executionId: "3f2b1c4d-5e6f-4a8b-9c0d-1e2f3a4b5c6d",
};

const IN_PROGRESS = `# Every execution in progress, in all accounts
# and regions, a page at a time.
query Running($first: Int, $after: String) {
  inProgressExecutions(
    first: $first
    after: $after
  ) {
    edges {
      node {
        id
        account { alias }
        status
        initialFileLocation {
          s3FileLocation { bucket key }
          efsFileLocation { fileSystemId path }
        }
        serviceMetadata {
          userDetails { userName serverId }
        }
      }
    }
    pageInfo { hasNextPage endCursor }
    # Where it was not possible to look, and why.
    targetFailures {
      accountId
      region
      error { code message }
    }
  }
}
`;

const IN_FULL = `# One execution in full, or why it could not be
# had: errors are data here.
query Details($key: ExecutionKey!) {
  executionOrError(key: $key) {
    __typename
    ... on Execution {
      id
      account { alias }
      status
      initialFileLocation {
        s3FileLocation { bucket key versionId etag }
        efsFileLocation { fileSystemId path }
      }
      serviceMetadata {
        userDetails { userName serverId sessionId }
      }
      executionRole
      loggingConfiguration {
        loggingRole
        logGroupName
      }
      posixProfile { uid gid secondaryGids }
      results {
        steps { ...step }
        onExceptionSteps { ...step }
      }
      observedAt
    }
    ... on Error {
      code
      message
      retryable
      retryAfter
      awsRequestId
    }
  }
}

fragment step on ExecutionStepResult {
  stepType
  outputs
  error { type message }
  definition { name }
}
`;

const HISTORY = `# What became of an execution, also after it has
# ended: run it again then. Its log tells.
query Outcome($key: ExecutionKey!) {
  executionOrError(key: $key) {
    __typename
    ... on Execution {
      status
      ending
      startedAt
      endedAt
      durationS
      recordedBy
      results {
        steps { ...timed }
        onExceptionSteps { ...timed }
      }
      events(first: 50) {
        edges {
          node {
            occurredAt
            kind
            stepName
            error { type message }
          }
        }
      }
      server { serverId logGroup }
    }
    # Why there is no record of it, and what to change.
    ... on ExecutionNotFound { reason remedy }
    ... on Error { code message }
  }
}

fragment timed on ExecutionStepResult {
  name
  stepType
  startedAt
  durationS
  error { type message }
}
`;

const SEARCH = `# Everything known with this in the file's name,
# in progress and ended. AWS isn't asked; what is
# not logged is listed there in the background
# for a minute.
query Search(
  $filter: SearchFilter!
  $after: String
) {
  searchExecutions(
    filter: $filter
    first: 20
    after: $after
  ) {
    edges {
      node {
        id
        account { alias }
        status
        startedAt
        durationS
        stepsDone
        failedStep { name error { type } }
        initialFileLocation {
          s3FileLocation { bucket key }
          efsFileLocation { fileSystemId path }
        }
      }
    }
    pageInfo { hasNextPage endCursor }
    countsByStatus { counts { status count } isExact }
    # Where executions may be missing, and what to change.
    coverage {
      account { alias }
      region
      gap
      remedy
    }
  }
}
`;

const CHANGES = `# What happens, as it happens: first what runs,
# then each change. Run it, and wait.
subscription Live(
  $filter: SearchFilter
  $after: String
) {
  executionsChanged(
    filter: $filter
    after: $after
  ) {
    cursor # as \`after\`, to go on from here
    execution {
      id
      account { alias }
      status
      stepsDone
    }
    events {
      occurredAt
      kind
      stepName
      error { type message }
    }
  }
}
`;

const SEVERAL = `# Up to 1,000 at once, answered in this order.
# One that fails never spoils the rest.
query Several($keys: [ExecutionKey!]!) {
  executions(keys: $keys) {
    __typename
    ... on Execution {
      id
      status
      results {
        steps { stepType error { type message } }
      }
    }
    ... on Error {
      code
      message
      target { accountId region }
    }
  }
}
`;

const FIND = `# An execution by its id alone, wherever it runs.
# Its workflow, where known, saves calls to AWS.
query Find(
  $executionId: ExecutionId!
  $workflowId: WorkflowId
) {
  findExecution(
    executionId: $executionId
    workflowId: $workflowId
  ) {
    execution {
      id
      account { alias }
      region
      status
    }
    targetsAsked
    targetFailures {
      accountId
      region
      error { code message }
    }
  }
}
`;

const ACCOUNTS = `# The accounts and regions that are read.
query Accounts {
  accounts { id alias regions }
}
`;

/** The examples, with these executions. */
export function examples(keys: Key[]): Example[] {
  const first = keys[0] ?? PLACEHOLDER;
  return [
    example(IN_PROGRESS, { first: 10 }),
    example(IN_FULL, { key: first }),
    example(HISTORY, { key: first }),
    example(SEARCH, { filter: { fileName: "claims-" } }),
    example(CHANGES, { filter: {} }),
    example(SEVERAL, { keys: keys.length > 0 ? keys : [PLACEHOLDER] }),
    example(FIND, { executionId: first.executionId }),
    example(ACCOUNTS),
  ];
}

function example(query: string, variables?: object): Example {
  return { query, variables: variables ? JSON.stringify(variables, null, 2) : "" };
}
