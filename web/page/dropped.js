/** @typedef {import('/columba/files/outgoing.js').Sent} Sent */

/** Files at most that are sent at once. */
const MAX_FILES = 10000;

/**
 * The files in what was dropped, those in folders with their paths.
 *
 * @param {(FileSystemEntry | null)[]} entries
 */
export async function collect(entries) {
  /** @type {Sent[]} */
  const files = [];
  /** @type {(entry: any, path: string) => Promise<void>} */
  const walk = async (entry, path) => {
    if (files.length >= MAX_FILES) return;
    if (entry.isFile) {
      files.push({ path, file: await new Promise((resolve, reject) => entry.file(resolve, reject)) });
      return;
    }
    const reader = entry.createReader();
    for (let count = 0; ; ) {
      /** @type {any[]} */
      const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      count += some.length;
      // Folders with something in them are made by their files' paths.
      if (count === 0) files.push({ path, file: null });
      if (some.length === 0) return;
      for (const each of some) await walk(each, `${path}/${each.name}`);
    }
  };
  for (const entry of entries) if (entry !== null) await walk(entry, entry.name);
  return files;
}

/**
 * Two pictures that were pasted may have the same name.
 *
 * @param {Sent[]} files
 */
export function withDistinctPaths(files) {
  const seen = new Set();
  return files.map(({ path, file }) => {
    let distinct = path;
    for (let n = 2; seen.has(distinct); n++) distinct = path.replace(/(\.[^./]*)?$/, (ending) => ` (${n})${ending}`);
    seen.add(distinct);
    return { path: distinct, file };
  });
}
