/** Where a file is, as people name it. */
import type { FileFragment } from "./gql/graphql";

export interface Place {
  name: string;
  /** Without the bucket or file system, of which a row has no room. */
  folder: string;
  root: string;
  /** As it is, to be copied. */
  whole: string;
}

/** Controls that would show a name in another order, such as `exe.pdf` for `fdp.exe`, are shown themselves. */
const visible = (text: string): string =>
  text.replace(/[\u0000-\u001f\u007f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, (control) => {
    return `[U+${control.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}]`;
  });

export function placeOf(file: FileFragment | null | undefined): Place | null {
  const { s3FileLocation: s3, efsFileLocation: efs } = file ?? {};
  const path = s3?.key ?? efs?.path;
  if (!path) return null;
  const root = s3 ? `s3://${s3.bucket ?? "?"}/` : `${efs?.fileSystemId ?? "efs"}:`;
  const cut = path.replace(/\/+$/, "").lastIndexOf("/") + 1;
  return { name: visible(path.slice(cut)), folder: visible(path.slice(0, cut)), root, whole: root + path };
}
