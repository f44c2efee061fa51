// AWS's answer in the schema's form.
const STATUSES = new Set(['IN_PROGRESS', 'COMPLETED', 'EXCEPTION', 'HANDLING_EXCEPTION'])
const STEP_TYPES = new Set(['COPY', 'CUSTOM', 'TAG', 'DELETE', 'DECRYPT'])
const ERROR_TYPES = new Set([
  'PERMISSION_DENIED', 'CUSTOM_STEP_FAILED', 'THROTTLED', 'ALREADY_EXISTS', 'NOT_FOUND', 'BAD_REQUEST', 'TIMEOUT',
  'INTERNAL_SERVER_ERROR',
])
const known = (values, value) => (value === undefined || values.has(value) ? value : 'UNRECOGNIZED')

export function executionFrom(key, described) {
  const { InitialFileLocation: file, ServiceMetadata: metadata, PosixProfile: posix } = described
  const { LoggingConfiguration: logging, Results: results } = described
  return {
    __typename: 'Execution',
    id: `${key.accountId}/${key.region}/${key.workflowId}/${key.executionId}`,
    accountId: key.accountId,
    region: key.region,
    workflowId: key.workflowId,
    executionId: key.executionId,
    account: { id: key.accountId, accountId: key.accountId, alias: null, regions: [key.region] },
    initialFileLocation: file && {
      s3FileLocation: file.S3FileLocation && s3(file.S3FileLocation),
      efsFileLocation: file.EfsFileLocation && {
        fileSystemId: file.EfsFileLocation.FileSystemId,
        path: file.EfsFileLocation.Path,
      },
    },
    serviceMetadata: metadata && {
      userDetails: {
        userName: metadata.UserDetails.UserName,
        serverId: metadata.UserDetails.ServerId,
        sessionId: metadata.UserDetails.SessionId,
      },
    },
    executionRole: described.ExecutionRole,
    loggingConfiguration: logging && { loggingRole: logging.LoggingRole, logGroupName: logging.LogGroupName },
    posixProfile: posix && { uid: posix.Uid, gid: posix.Gid, secondaryGids: posix.SecondaryGids },
    status: known(STATUSES, described.Status),
    rawStatus: described.Status,
    results: results && {
      steps: results.Steps?.map(step),
      onExceptionSteps: results.OnExceptionSteps?.map(step),
    },
    observedAt: new Date().toISOString(),
  }
}

function s3(location) {
  return { bucket: location.Bucket, key: location.Key, versionId: location.VersionId, etag: location.Etag }
}

function step(result) {
  const { StepType: type, Outputs: outputs, Error: error } = result
  return {
    stepType: known(STEP_TYPES, type),
    rawStepType: type,
    outputs,
    error: error && { type: known(ERROR_TYPES, error.Type), rawType: error.Type, message: error.Message },
  }
}
