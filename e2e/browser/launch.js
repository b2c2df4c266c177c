// Chromium and Firefox from Debian's packages, headless, each with a profile of its own and the
// test authority.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import puppeteer from 'puppeteer-core';
import { stop } from '../lab/shell.js';
import { STEP_TIMEOUT, SUITE_TIMEOUT } from '../lab/timeouts.js';
import { relayInto } from './relay.js';

/** @typedef {'chromium' | 'firefox'} BrowserName */

/**
 * @typedef {object} LaunchOptions
 * @property {import('./authority.js').Authority} [authority] trusted by the browser, also for
 *   TURN over TLS
 * @property {{lab: import('../lab/lab.js').Lab, node: string}} [at] the node of a laboratory to
 *   live in
 * @property {boolean} [asShipped] the browser's own defaults: hidden host addresses (mDNS), no
 *   devices, no permission
 */

/**
 * @typedef {object} Running
 * @property {import('puppeteer-core').Browser} browser
 * @property {BrowserName} name
 * @property {() => Promise<void>} close
 */

const EXECUTABLE = { chromium: '/usr/bin/chromium', firefox: '/usr/bin/firefox-esr' };

/** The programs that the browsers and their certificates need. */
export const BROWSER_PROGRAMS = [EXECUTABLE.chromium, EXECUTABLE.firefox, 'certutil', 'openssl'];

/** @param {BrowserName} name @param {LaunchOptions} [options] @returns {Promise<Running>} */
export async function launch(name, options = {}) {
  const home = mkdtempSync(join(tmpdir(), `columba-${name}-`));
  const remove = () => rmSync(home, { recursive: true, force: true, maxRetries: 20 });
  process.once('exit', remove);
  try {
    const { browser, after } = await (name === 'chromium' ? chromium : firefox)(home, options);
    const close = async () => {
      const child = browser.process();
      const gentle = browser.close().catch(() => {});
      await Promise.race([gentle, new Promise((resolve) => setTimeout(resolve, 5000).unref())]);
      // Until it is gone it writes into its profile.
      if (child) await stop(child, { signal: 'SIGKILL' });
      await after?.();
      process.off('exit', remove);
      remove();
    };
    return { browser, name, close };
  } catch (error) {
    remove();
    throw error;
  }
}

/** @param {string} home @param {LaunchOptions} options */
async function chromium(home, { authority, at, asShipped = false }) {
  await authority?.trustIn(join(home, '.pki', 'nssdb'));
  const devices = ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream'];
  const args = [
    '--no-sandbox', // it refuses to run as root with one
    '--autoplay-policy=no-user-gesture-required',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--no-first-run',
    '--force-device-scale-factor=1',
    ...(asShipped ? [] : [...devices, '--disable-features=WebRtcHideLocalIpsWithMdns']),
  ];
  const browser = await puppeteer.launch({
    browser: 'chrome',
    executablePath: at ? at.lab.wrapper(at.node, EXECUTABLE.chromium) : EXECUTABLE.chromium,
    headless: true,
    pipe: true,
    userDataDir: join(home, 'profile'),
    env: { ...process.env, HOME: home, XDG_CONFIG_HOME: home, XDG_CACHE_HOME: home },
    args,
    acceptInsecureCerts: false,
    timeout: STEP_TIMEOUT,
    // Some questions to a page are answered when all of a talk is over.
    protocolTimeout: SUITE_TIMEOUT,
  });
  return { browser, after: undefined };
}

/** @param {string} home @param {LaunchOptions} options */
async function firefox(home, { authority, at, asShipped = false }) {
  const profile = join(home, 'profile');
  if (authority) await authority.trustIn(profile);
  const relay = at ? await relayInto(at.lab, at.node) : undefined;
  const devices = {
    'media.navigator.streams.fake': true,
    'media.navigator.permission.disabled': true,
    'media.peerconnection.ice.obfuscate_host_addresses': false,
  };
  try {
    const browser = await puppeteer.launch({
      browser: 'firefox',
      executablePath: at ? at.lab.wrapper(at.node, EXECUTABLE.firefox) : EXECUTABLE.firefox,
      headless: true,
      userDataDir: profile,
      // Marionette's own port is not used; the driver's must be known before the browser says it.
      args: ['--remote-debugging-port', String(relay?.port ?? 0)],
      env: { ...process.env, HOME: home, MOZ_CRASHREPORTER_DISABLE: '1' },
      extraPrefsFirefox: {
        'media.autoplay.default': 0,
        // A page in a tab behind another one is still a person in a call.
        'media.suspend-background-video.enabled': false,
        'dom.min_background_timeout_value': 4,
        ...(asShipped ? {} : devices),
      },
      acceptInsecureCerts: false,
      timeout: STEP_TIMEOUT,
      protocolTimeout: SUITE_TIMEOUT,
    });
    return { browser, after: relay?.close };
  } catch (error) {
    await relay?.close();
    throw error;
  }
}
