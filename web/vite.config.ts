import { copyFile, readdir, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

/** Puts a `.gz` beside each text asset: megabytes of script are not to be compressed once a request. */
function precompressed(): Plugin {
  return {
    name: "precompressed",
    apply: "build",
    async writeBundle({ dir }) {
      const assets = join(dir!, "assets");
      for (const name of await readdir(assets)) {
        if (!/\.(js|css|svg)$/.test(name)) continue;
        const path = join(assets, name);
        await writeFile(`${path}.gz`, gzipSync(await readFile(path), { level: 9 }));
      }
    },
  };
}

/** Puts the page's documents beside it, where the gateway looks for what a hash stands for. */
function documents(page: string): Plugin {
  return {
    name: "documents",
    apply: "build",
    async writeBundle({ dir }) {
      if (page === "executions") await copyFile(`${page}/gql/persisted-documents.json`, join(dir!, "documents.json"));
    },
  };
}

/** `vite build --mode PAGE` builds the page in that directory. */
export default defineConfig(({ mode: page }) => ({
  root: page,
  logLevel: "warn",
  plugins: [react(), precompressed(), documents(page)],
  build: {
    outDir: resolve(process.env.PAGES_OUT ?? "../src/transfer_gateway/api/pages", page),
    emptyOutDir: true,
    target: "es2022",
    cssTarget: "chrome123", // else light-dark() is taken apart
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 5000, // Monaco is what it is
    rolldownOptions: {
      onLog: (level, log, next) => {
        if (log.code !== "MODULE_LEVEL_DIRECTIVE") next(level, log); // meant for React's compiler, long done
      },
    },
  },
  worker: { format: "es" },
  experimental: {
    // The pages are /executions and /graphql, their assets /PAGE/assets/…, below whatever prefix a proxy adds.
    renderBuiltUrl: (name, { hostType }) =>
      hostType === "html" ? `${page}/${name}` : { relative: true },
  },
}));
