// A repository's life as a program in JavaScript leads it. Prints what it was told at each step.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import * as hub from "@huggingface/hub";

const at = { hubUrl: process.env.SERVER, accessToken: process.env.TOKEN };
const owner = process.env.OWNER;
const told = {};
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
const all = async (items) => {
  const found = [];
  for await (const item of items) found.push(item);
  return found;
};
const error = (promise) =>
  promise.then(
    () => null,
    ({ name, message, statusCode }) => ({ name, message, statusCode }),
  );

// Not all alike, so that a part in the wrong place shows.
const bytes = (size, seed) => {
  const words = new Uint32Array(Math.ceil(size / 4));
  for (let at = 0, state = seed; at < words.length; at += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    words[at] = state;
  }
  return new Uint8Array(words.buffer, 0, size);
};
const large = bytes(12_000_001, 1);
const parted = bytes((64 << 20) + 12_345, 2);

// Who.
const who = await hub.whoAmI(at);
told.who = { type: who.type, name: who.name, orgs: who.orgs.map((each) => each.name), role: who.auth.accessToken.role };

// A dataset: made with files, then small and large ones, in one piece and in parts.
const repo = `datasets/${owner}/from_javascript`;
const card = "---\nlicense: mit\ntags: [embeddings]\n---\n# From JavaScript\n";
told.created = await hub.createRepo({ ...at, repo, visibility: "private", license: "mit" });
told.again = await error(hub.createRepo({ ...at, repo }));
told.first = await all(hub.listFiles({ ...at, repo })).then((files) => files.map((file) => file.path));

told.uploaded = await hub.uploadFile({
  ...at,
  repo,
  file: { path: "README.md", content: new Blob([card]) },
  commitTitle: "A card",
  commitDescription: "And nothing else.",
});
mkdirSync("folder/within", { recursive: true });
writeFileSync("folder/a.txt", "a\n");
writeFileSync("folder/within/ü & é.txt", "within\n");
await hub.uploadFiles({
  ...at,
  repo,
  files: [
    pathToFileURL("folder"),
    { path: "data/large.bin", content: new Blob([large]) },
    { path: "empty.txt", content: new Blob([]) },
  ],
});
const events = await all(
  hub.uploadFilesWithProgress({ ...at, repo, files: [{ path: "data/parted.bin", content: new Blob([parted]) }] }),
);
told.events = {
  phases: events.filter((each) => each.event === "phase").map((each) => each.phase),
  states: [...new Set(events.filter((each) => each.event === "fileProgress").map((each) => each.state))],
};
// The same bytes under another name are not sent again.
let sent = 0;
const counting = (address, init) => {
  if (init?.method === "PUT") sent += 1;
  return fetch(address, init);
};
await hub.commit({
  ...at,
  repo,
  title: "Two at once",
  fetch: counting,
  operations: [
    { operation: "addOrUpdate", path: "data/same.bin", content: new Blob([large]) },
    { operation: "delete", path: "folder/a.txt" },
  ],
});
told.sent = sent;

// Lists and what is known of files.
told.files = await all(hub.listFiles({ ...at, repo, recursive: true, expand: true })).then((files) =>
  files.map(({ path, type, size, lfs, lastCommit }) => ({ path, type, size, oid: lfs?.oid, last: lastCommit?.title })),
);
told.paths = await hub
  .pathsInfo({ ...at, repo, paths: ["README.md", "data", "nothing"] })
  .then((found) => found.map(({ path, type }) => [path, type]));
told.commits = await all(hub.listCommits({ ...at, repo })).then((found) => found.map((each) => each.title));
told.count = await hub.countCommits({ ...at, repo });
const info = await hub.fileDownloadInfo({ ...at, repo, path: "data/large.bin" });
told.info = { size: info.size, etag: info.etag, xet: info.xet ?? null };
told.missing = await hub.fileDownloadInfo({ ...at, repo, path: "nothing.bin" });
told.exists = [
  await hub.fileExists({ ...at, repo, path: "README.md" }),
  await hub.fileExists({ ...at, repo, path: "data/large.bin" }),
  await hub.fileExists({ ...at, repo, path: "nothing" }),
];

// Downloads, whole and in ranges.
const download = (path, options) => hub.downloadFile({ ...at, repo, path, ...options });
const blob = await download("data/large.bin");
const range = new Uint8Array(await blob.slice(1_000_003, 1_000_103).arrayBuffer());
told.downloads = {
  card: (await (await download("README.md")).text()) === card,
  odd: await (await download(encodeURI("folder/within/ü & é.txt"))).text(),
  empty: (await (await download("empty.txt")).arrayBuffer()).byteLength,
  large: sha256(new Uint8Array(await blob.arrayBuffer())) === sha256(large),
  parted: sha256(new Uint8Array(await (await download("data/parted.bin")).arrayBuffer())) === sha256(parted),
  range: sha256(range) === sha256(large.subarray(1_000_003, 1_000_103)),
  pointer: (await (await download("data/large.bin", { raw: true })).text()).split("\n")[0],
  nothing: await download("nothing"),
};

// Branches.
await hub.createBranch({ ...at, repo, branch: "try/this" });
await hub.uploadFile({ ...at, repo, branch: "try/this", file: { path: "b.txt", content: new Blob(["b"]) } });
await hub.createBranch({ ...at, repo, branch: "bare", empty: true });
told.branches = {
  there: await hub.fileExists({ ...at, repo, path: "b.txt", revision: "try/this" }),
  main: await hub.fileExists({ ...at, repo, path: "b.txt" }),
  bare: await all(hub.listFiles({ ...at, repo, revision: "bare" })).then((files) => files.length),
  twice: await error(hub.createBranch({ ...at, repo, branch: "bare" })),
};
await hub.deleteBranch({ ...at, repo, branch: "try/this" });
told.branches.gone = await error(all(hub.listFiles({ ...at, repo, revision: "try/this" })));

// What others see of it: nothing, until it is public.
told.hidden = await error(hub.datasetInfo({ hubUrl: at.hubUrl, name: `${owner}/from_javascript` }));
const { name, private: hidden } = await hub.datasetInfo({ ...at, name: `${owner}/from_javascript` });
told.dataset = { name, private: hidden };
told.datasets = await all(hub.listDatasets({ ...at, search: { owner } })).then((found) => found.map((each) => each.name));

// A model, whose weights' head is read by ranges.
const model = `${owner}/javascript_model`;
await hub.createRepo({ ...at, repo: { type: "model", name: model }, files: [{ path: "a.txt", content: new Blob(["a"]) }] });
await hub.uploadFiles({
  ...at,
  repo: model,
  files: ["config.json", "model.safetensors"].map((path) => ({
    path,
    content: new Blob([readFileSync(`${process.env.MODEL}/${path}`)]),
  })),
});
const modelInfo = await hub.modelInfo({ ...at, name: model, additionalFields: ["sha", "library_name", "tags"] });
told.model = { name: modelInfo.name, private: modelInfo.private, sha: modelInfo.sha, library: modelInfo.library_name };
told.models = await all(hub.listModels({ ...at, search: { owner } })).then((found) => found.map((each) => each.name));
const head = await hub.parseSafetensorsMetadata({ ...at, repo: model, computeParametersCount: true });
told.parameters = head.parameterCount;

// The end.
await hub.deleteFile({ ...at, repo, path: "folder/within/ü & é.txt" });
await hub.deleteFiles({ ...at, repo, paths: ["data/same.bin", "data/parted.bin"] });
const snapshot = await hub.snapshotDownload({ ...at, repo, cacheDir: `${process.cwd()}/cache` });
told.snapshot = {
  large: sha256(readFileSync(`${snapshot}/data/large.bin`)) === sha256(large),
  empty: readFileSync(`${snapshot}/empty.txt`).length,
};
told.left = await all(hub.listFiles({ ...at, repo, recursive: true }))
  .then((files) => files.filter((file) => file.type === "file").map((file) => file.path));
told.errors = {
  file: await error(hub.deleteFile({ ...at, repo, path: "never.txt" })),
  path: await error(hub.uploadFile({ ...at, repo, file: { path: "../out.txt", content: new Blob(["a"]) } })),
  parent: await error(
    hub.uploadFile({
      ...at,
      repo,
      parentCommit: told.uploaded.commit.oid,
      file: { path: "late.txt", content: new Blob(["a"]) },
    }),
  ),
  token: await error(hub.whoAmI({ hubUrl: at.hubUrl, accessToken: "hf_not_a_real_token" })),
  other: await error(hub.createRepo({ ...at, repo: "somebody/else" })),
};
for (const each of [repo, { type: "model", name: model }]) await hub.deleteRepo({ ...at, repo: each });
told.gone = await hub.repoExists({ ...at, repo });
console.log(JSON.stringify(told));
