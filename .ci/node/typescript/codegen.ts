import type { CodegenConfig } from "@graphql-codegen/cli";

const config: CodegenConfig = {
  schema: "../../../schema.graphql",
  documents: "queries.ts",
  importExtension: ".js",
  config: {
    strictScalars: true,
    scalars: {
      AccountId: "string",
      Region: "string",
      WorkflowId: "string",
      ExecutionId: "string",
      DateTime: "string",
      Long: "number", // POSIX ids, far below 2 ** 53
    },
    useTypeImports: true,
  },
  generates: {
    "gql/": {
      preset: "client",
      presetConfig: { persistedDocuments: { hashAlgorithm: "sha256" } },
    },
    "gql/possible-types.ts": { plugins: ["fragment-matcher"] },
  },
};
export default config;
