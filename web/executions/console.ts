/** Addresses in AWS's console. */

const CONSOLES = [
  { prefix: "cn-", host: (region: string) => `${region}.console.amazonaws.cn` },
  { prefix: "us-gov-", host: () => "console.amazonaws-us-gov.com" },
  { prefix: "", host: (region: string) => `${region}.console.aws.amazon.com` },
];

const hostOf = (region: string): string => CONSOLES.find(({ prefix }) => region.startsWith(prefix))!.host(region);

/** Escaped twice, as the console has it: `/` is `$252F`. */
const escaped = (name: string): string => encodeURIComponent(encodeURIComponent(name)).replaceAll("%", "$");

/** Of a log group; with the executions's id, of its entries there. */
export function logGroupAddress(region: string, group: string, executionId: string): string {
  const pattern = `$3FfilterPattern$3D${escaped(`"${executionId}"`)}`;
  return `https://${hostOf(region)}/cloudwatch/home?region=${region}#logsV2:log-groups/log-group/${escaped(group)}/log-events${pattern}`;
}

/** The name in an ARN such as `arn:aws:logs:eu-west-1:111111111111:log-group:/aws/vendedlogs/transfer:*`. */
export const groupOf = (arn: string): string => /:log-group:(.+?)(:\*)?$/.exec(arn)?.[1] ?? arn;
