/** What is known of an execution, with ids to copy; hidden is not unknown. */
import type { ReactNode } from "react";
import { groupOf, logGroupAddress } from "./console";
import { placeOf } from "./file";
import type { WholeFragment } from "./gql/graphql";
import { Copy, Id } from "./Id";
import { useServerLog } from "./useExecution";

interface Props {
  execution: WholeFragment;
  hiddenFields: readonly string[];
  destinations: readonly string[];
}

const SOURCES = { AWS: "AWS’s answer", LOG: "its log", OBSERVED: "an earlier answer of AWS" };

export function Facts({ execution, hiddenFields, destinations }: Props) {
  const { initialFileLocation: file, serviceMetadata, posixProfile, recordedBy } = execution;
  const { serverId, sessionId } = serviceMetadata?.userDetails ?? {};
  const missing = (field: string) =>
    hiddenFields.includes(field) ? <em className="hidden">hidden from you</em> : <em>not recorded</em>;
  const id = (value: string | null | undefined, what: string, field: string) =>
    value ? <Id id={value} what={what} isWhole /> : missing(field);
  const place = placeOf(file);
  return (
    <dl className="facts">
      <Fact name="File">
        {place ? (
          <span className="id">
            <code>
              <bdi>{place.root + place.folder + place.name}</bdi>
            </code>
            <Copy text={place.whole} what="the file’s location" />
          </span>
        ) : (
          missing("initialFileLocation")
        )}
      </Fact>
      {file?.s3FileLocation?.versionId && (
        <Fact name="Version">
          <Id id={file.s3FileLocation.versionId} what="the version" isWhole />
        </Fact>
      )}
      {file?.s3FileLocation?.etag && (
        <Fact name="ETag">
          <Id id={file.s3FileLocation.etag} what="the ETag" isWhole />
        </Fact>
      )}
      <Fact name="Execution">{id(execution.executionId, "the execution’s id", "")}</Fact>
      <Fact name="Workflow">{id(execution.workflowId, "the workflow’s id", "")}</Fact>
      <Fact name="Server">{id(serverId, "the server’s id", "serviceMetadata")}</Fact>
      <Fact name="Session">{id(sessionId, "the session’s id", "serviceMetadata")}</Fact>
      <Fact name="Account">{id(execution.accountId, "the account’s id", "")}</Fact>
      <Fact name="Role">{id(execution.executionRole, "the role", "executionRole")}</Fact>
      {posixProfile && (
        <Fact name="POSIX">
          {[`uid ${posixProfile.uid}`, `gid ${posixProfile.gid}`, ...(posixProfile.secondaryGids ?? [])].join(", ")}
        </Fact>
      )}
      <Fact name="Logged in">
        <Logs execution={execution} destinations={destinations} missing={missing("loggingConfiguration")} />
      </Fact>
      <Fact name="Known from">{recordedBy.map((source) => SOURCES[source]).join(" and ")}</Fact>
    </dl>
  );
}

const Fact = ({ name, children }: { name: string; children: ReactNode }) => (
  <>
    <dt>{name}</dt>
    <dd>{children}</dd>
  </>
);

function Logs({
  execution,
  destinations,
  missing,
}: Pick<Props, "execution" | "destinations"> & { missing: ReactNode }) {
  const { id, region, executionId, loggingConfiguration, serviceMetadata } = execution;
  const named = [loggingConfiguration?.logGroupName, ...destinations.map(groupOf)].filter((group) => group != null);
  const ofServer = useServerLog(id, serviceMetadata?.userDetails.serverId, named.length === 0);
  const groups = [...new Set([...named, ofServer].filter((group) => group != null))];
  if (groups.length === 0) return missing;
  return groups.map((group) => (
    <span className="id" key={group}>
      <a href={logGroupAddress(region, group, executionId)} target="_blank" rel="noreferrer">
        {group}
        <span className="unseen"> in AWS’s console, in a new tab</span>
      </a>
      <Copy text={group} what="the log group" />
    </span>
  ));
}
