// The main operations, as a frontend would ask them.
import { graphql } from "./gql/index.js";

export const FileFields = graphql(`
  fragment FileFields on Execution {
    initialFileLocation {
      s3FileLocation { bucket key }
      efsFileLocation { fileSystemId path }
    }
    serviceMetadata { userDetails { userName serverId } }
  }
`);

export const LookUp = graphql(`
  query LookUp($key: ExecutionKey!, $maxAge: Float) {
    executionOrError(key: $key, maxAge: $maxAge) {
      __typename
      ... on Execution {
        id
        status
        account { id alias }
        posixProfile { uid gid secondaryGids }
        results { steps { stepType outputs error { type message } } }
        observedAt
        ...FileFields
      }
      ... on Error { code message retryable retryAfter }
    }
  }
`);

// For clients that read `errors[]`.
export const LookUpPlainly = graphql(`
  query LookUpPlainly($key: ExecutionKey!) {
    execution(key: $key) { id status }
  }
`);

export const LookUpMany = graphql(`
  query LookUpMany($keys: [ExecutionKey!]!) {
    executions(keys: $keys) {
      __typename
      ... on Execution { id status }
      ... on Error { code message }
    }
  }
`);

export const InProgress = graphql(`
  query InProgress($filter: ExecutionFilter, $first: Int, $after: String) {
    inProgressExecutions(filter: $filter, first: $first, after: $after) {
      edges {
        cursor
        node { id accountId region workflowId executionId status ...FileFields }
      }
      pageInfo { hasNextPage endCursor }
      targetFailures { accountId region error { code message } }
    }
  }
`);

export const Find = graphql(`
  query Find($executionId: ExecutionId!) {
    findExecution(executionId: $executionId) {
      execution { id status }
      targetsAsked
      targetFailures { accountId region error { code } }
    }
  }
`);

export const Workflows = graphql(`
  query Workflows($first: Int) {
    workflows(first: $first) {
      edges { node { id description steps { name type } } }
      pageInfo { hasNextPage endCursor }
    }
  }
`);

export const Accounts = graphql(`
  query Accounts {
    accounts { id accountId alias regions }
  }
`);

export const Changed = graphql(`
  subscription Changed($key: ExecutionKey!, $after: String) {
    executionChanged(key: $key, after: $after) {
      cursor
      execution { id status }
      events { id kind }
    }
  }
`);

export const AllChanged = graphql(`
  subscription AllChanged($filter: SearchFilter, $after: String) {
    executionsChanged(filter: $filter, after: $after) {
      cursor
      execution { id status }
      events { id kind }
    }
  }
`);
