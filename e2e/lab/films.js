// Films for the tests, made and judged by ffmpeg.

import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

const exec = promisify(execFile);

/** @typedef {'vp8' | 'vp9' | 'av1' | 'h264' | 'ivf' | 'ogg'} FilmKind */

/** The longest time between two pictures that tell the moment of a change, in seconds. */
const STEADY = 0.05;

/** Seconds of a film. */
const LENGTH = 4;

/**
 * `only` is set where the file has no sound, or no picture.
 *
 * @type {Record<FilmKind, { name: string, args: string[], only?: 'video' | 'audio' }>}
 */
const KINDS = {
  vp8: { name: 'vp8.webm', args: ['-c:v', 'libvpx', '-deadline', 'realtime', '-cpu-used', '8'] },
  vp9: { name: 'vp9.webm', args: ['-c:v', 'libvpx-vp9', '-deadline', 'realtime', '-cpu-used', '8'] },
  av1: { name: 'av1.webm', args: ['-c:v', 'libaom-av1', '-usage', 'realtime', '-cpu-used', '8', '-strict', 'experimental'] },
  ivf: { name: 'vp8.ivf', args: ['-c:v', 'libvpx', '-deadline', 'realtime', '-cpu-used', '8'], only: 'video' },
  ogg: { name: 'opus.ogg', args: [], only: 'audio' },
  h264: { name: 'h264.mp4', args: ['-c:v', 'libx264', '-preset', 'ultrafast', '-profile:v', 'baseline', '-level', '3.1', '-bf', '0'] },
};

/**
 * Makes a film of a moving pattern, 320×240 at 25 pictures a second with a key frame each second,
 * and a tone.
 *
 * @param {string} folder
 * @param {FilmKind} kind
 */
export async function makeFilm(folder, kind) {
  const { name, args, only } = KINDS[kind];
  const path = join(folder, name);
  if (existsSync(path)) return path;
  const picture = `testsrc=size=320x240:rate=25:duration=${LENGTH}`;
  const tone = `sine=frequency=440:duration=${LENGTH}`;
  const shown = ['-pix_fmt', 'yuv420p', ...args, '-b:v', '300k', '-g', '25'];
  // One packet a page of Ogg, so that a player that sends page by page keeps the pace.
  const heard = ['-c:a', 'libopus', '-b:a', '32k', ...(kind === 'ogg' ? ['-page_duration', '20000'] : [])];
  const input = [picture, tone].flatMap((source) => ['-f', 'lavfi', '-i', source]);
  const parts = only === 'video' ? [...shown, '-an'] : only === 'audio' ? [...heard, '-vn'] : [...shown, ...heard];
  await exec('ffmpeg', ['-v', 'error', '-y', ...input, ...parts, path]);
  return path;
}

/**
 * Decodes a whole file, and tells what is in it.
 *
 * @param {string} path
 */
export async function describeFile(path) {
  const { stdout } = await exec('ffprobe', ['-v', 'error', '-count_frames', '-show_streams', '-of', 'json', path]);
  /** @type {{ streams: any[] }} */
  const { streams } = JSON.parse(stdout);
  /** @param {string} kind */
  const of = (kind) => {
    const found = streams.find((stream) => stream.codec_type === kind);
    return { codec: found?.codec_name, frames: Number(found?.nb_read_frames ?? 0), width: Number(found?.width ?? 0) };
  };
  return { video: of('video'), audio: of('audio') };
}

/**
 * The packets of a file, which may still be written, in its order.
 *
 * @param {string} path
 * @returns {Promise<any[]>} with their times in seconds
 */
export async function packets(path) {
  const args = ['-v', 'error', '-show_entries', 'packet=pts_time,codec_type', '-of', 'json', path];
  const { stdout } = await exec('ffprobe', args, { maxBuffer: 1 << 26 });
  return JSON.parse(stdout).packets.map((/** @type {any} */ one) => ({ kind: one.codec_type, time: Number(one.pts_time) }));
}

/**
 * Finds the flashes of the picture and the beeps of the sound in a recording of `clockCamera`.
 *
 * @param {string} path
 * @returns {Promise<{ flashes: number[], beeps: number[], offsets: number[] }>} seconds; an offset
 *   is the time from a flash to its beep
 */
export async function beats(path) {
  const show = ['-f', 'null', '-'];
  const bright = await exec('ffmpeg', ['-v', 'error', '-i', path, '-an', '-vf', 'signalstats,metadata=print:key=lavfi.signalstats.YAVG:file=-', ...show], { maxBuffer: 1 << 26 });
  const flashes = [];
  let [time, before, was] = [0, 0, Infinity];
  for (const line of bright.stdout.split('\n')) {
    const at = /pts_time:([\d.]+)/.exec(line);
    if (at) [before, time] = [time, Number(at[1])];
    const level = /YAVG=([\d.]+)/.exec(line);
    if (!level) continue;
    // Where the page drew nothing for long, the moment of the flash does not show.
    if (Number(level[1]) > 120 && was <= 120 && time - before <= STEADY) flashes.push(time);
    was = Number(level[1]);
  }
  const quiet = await exec('ffmpeg', ['-v', 'info', '-i', path, '-vn', '-af', 'silencedetect=noise=-30dB:duration=0.2', ...show], { maxBuffer: 1 << 26 });
  const beeps = [...quiet.stderr.matchAll(/silence_end: ([\d.]+)/g)].map((match) => Number(match[1]));
  const offsets = flashes.flatMap((flash) => {
    const near = beeps.map((beep) => beep - flash).filter((offset) => Math.abs(offset) < 0.5);
    return near.length > 0 ? [Math.min(...near.map(Math.abs)) * Math.sign(near[0] ?? 1)] : [];
  });
  return { flashes, beeps, offsets };
}
