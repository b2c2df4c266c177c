// Whether this machine can run what a test needs. A test that cannot run is skipped with its
// reason, but never silently in CI: there it fails.

import { isInstalled, run } from './shell.js';

/**
 * Why the laboratory cannot work here, or `false`; in the form that `node --test` takes as `skip`.
 * @param {...string} alsoNeeded further programs
 */
export async function labMissing(...alsoNeeded) {
  return verdict(await whyNoLab(alsoNeeded));
}

/** Why these programs cannot be used here, or `false`. @param {...string} programs */
export async function programsMissing(...programs) {
  return verdict(await firstMissing(programs));
}

/**
 * The reason why Debian's Python cannot use these introspected libraries, or `false`.
 * @param {...string} libraries
 */
export async function pythonMissing(...libraries) {
  const lines = libraries.map((library) => `gi.require_version('${library}', '1.0')`);
  const found = run('/usr/bin/python3', ['-c', ['import gi', ...lines].join('\n')]);
  return verdict(await found.then(() => undefined, () => `Python knows no ${libraries.join(', ')} (cargo xtask test installs it)`));
}

/** @param {string[]} alsoNeeded */
async function whyNoLab(alsoNeeded) {
  if (process.platform !== 'linux') return 'network namespaces need Linux';
  if (process.getuid?.() !== 0) return 'network namespaces need root';
  const missing = await firstMissing(['ip', 'nft', 'conntrack', ...alsoNeeded]);
  if (missing) return missing;
  const name = `columba-${process.pid}-try`;
  try {
    await run('ip', ['netns', 'add', name]);
    await run('ip', ['netns', 'exec', name, 'nft', 'list', 'ruleset']);
    return undefined;
  } catch (error) {
    return `network namespaces do not work here: ${/** @type {Error} */ (error).message}`;
  } finally {
    await run('ip', ['netns', 'del', name]).catch(() => {});
  }
}

/** @param {string[]} programs */
async function firstMissing(programs) {
  for (const program of programs) {
    if (!(await isInstalled(program))) return `${program} is not installed (cargo xtask test installs it)`;
  }
  return undefined;
}

/** @param {string | undefined} reason */
function verdict(reason) {
  if (reason === undefined) return false;
  if (process.env.CI) throw new Error(`CI must run every test, but ${reason}`);
  return reason;
}
