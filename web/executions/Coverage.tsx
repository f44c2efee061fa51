/** Which accounts and servers the answer lacks, why, and what to do about it. */
import type { CoverageFragment, SummaryFragment } from "./gql/graphql";
import { Icon } from "./Status";

interface Group {
  title: string;
  isUrgent: boolean;
  targets: CoverageFragment[];
}

const CODES: Record<string, string> = {
  ACCESS_DENIED: "access denied",
  ROLE_NOT_ASSUMABLE: "the role can’t be assumed",
  THROTTLED: "throttled by AWS",
  DEADLINE_EXCEEDED: "AWS doesn’t answer",
  UPSTREAM_UNAVAILABLE: "AWS fails or doesn’t answer",
};

export function titleOf({ gap, problem }: Pick<CoverageFragment, "gap" | "problem">, count = 1): string {
  const why = problem ? (CODES[problem.code] ?? problem.code.toLowerCase().replaceAll("_", " ")) : "";
  if (gap === "UNREADABLE") return why ? `can’t be read: ${why}` : "can’t be read";
  if (gap === "BEING_READ") return `${count === 1 ? "is" : "are"} still being read for the first time`;
  if (gap === "NOT_LOGGED") return why ? `can’t be listed: ${why}` : `${count === 1 ? "has" : "have"} workflows that log nothing`;
  return "covered";
}

/** The gaps by their problem, the urgent ones first. */
export function groupsOf(coverage: readonly CoverageFragment[]): Group[] {
  const groups = new Map<string, Group>();
  for (const target of coverage) {
    if (!target.gap) continue;
    const title = titleOf(target);
    const group = groups.get(title) ?? {
      title,
      isUrgent: target.gap === "UNREADABLE" || !!target.problem,
      targets: [],
    };
    group.targets.push(target);
    groups.set(title, group);
  }
  for (const group of groups.values()) group.title = titleOf(group.targets[0]!, group.targets.length);
  return [...groups.values()].toSorted((one, other) => Number(other.isUrgent) - Number(one.isUrgent));
}

export const nameOf = ({ account, region }: Pick<CoverageFragment, "account" | "region">): string =>
  `${account.alias ?? account.accountId} ${region}`;

/** Accounts with their regions: `claims (eu-west-1, us-east-1)`. */
function named(targets: readonly CoverageFragment[]): string {
  const regions = new Map<string, string[]>();
  for (const { account, region } of targets) {
    const name = account.alias ?? account.accountId;
    regions.set(name, [...(regions.get(name) ?? []), region]);
  }
  return [...regions].map(([name, list]) => `${name} (${list.join(", ")})`).join(", ");
}

export function Coverage({ summary }: { summary: SummaryFragment | undefined }) {
  if (!summary) return <div className="coverage">&nbsp;</div>;
  const { total, withGap } = summary.coverageSummary;
  const groups = groupsOf(summary.coverage);
  const hidden = summary.hiddenFilters;
  if (groups.length === 0 && hidden.length === 0)
    return (
      <div className="coverage all">
        <Icon kind="done" /> Nothing is missing from this answer: {total} of {total} accounts and regions are covered.
      </div>
    );
  return (
    <details className={groups.some(({ isUrgent }) => isUrgent) ? "coverage urgent" : "coverage"}>
      <summary>
        <Icon kind="handling" />
        <span>
          {withGap > 0 && (
            <>
              Executions may be missing from {withGap} of {total} accounts and regions.{" "}
              {groups.map(({ title, isUrgent, targets }) => (
                <span key={title} className="group">
                  {isUrgent ? named(targets) : `${targets.length}`} {title}.{" "}
                </span>
              ))}
            </>
          )}
          {hidden.map(({ filterField, hiddenField, targets }) => (
            <span key={filterField} className="group">
              In {targets} accounts and regions {filterField} finds nothing: {hiddenField} is hidden from you.{" "}
            </span>
          ))}
        </span>
        <span className="more">What to do</span>
      </summary>
      {groups.map(({ title, targets }) => (
        <section key={title}>
          <h2>
            {targets.length} {title}
          </h2>
          <ul>
            {targets.map((target) => (
              <li key={nameOf(target)}>
                <b>{nameOf(target)}</b> {target.remedy ?? target.problem?.message}
              </li>
            ))}
          </ul>
        </section>
      ))}
      {withGap > summary.coverage.filter(({ gap }) => gap).length && (
        <p>The first 100 are shown here; the view “Accounts and servers” has all.</p>
      )}
    </details>
  );
}
