//! `ffprobe` (Debian's ffmpeg) as the judge: what is written it reads whole, and what `ffmpeg`
//! writes is read here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use columba_containers::{Codec, Frame, Reader, Track, Writer};

/// Returns a folder for a test; `None`, and says so, where ffmpeg is missing.
fn folder(name: &str) -> Option<PathBuf> {
    let there = ["ffprobe", "ffmpeg"].iter().all(|name| Command::new(name).arg("-version").output().is_ok());
    if !there {
        eprintln!("SKIPPED {name}: ffmpeg is not installed (Debian: apt-get install ffmpeg)");
        return None;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    Some(folder)
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    assert!(errors.trim().is_empty(), "{program} {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Makes a file of two seconds with a moving picture and a tone.
fn make(path: &Path, codecs: &[&str]) {
    let mut arguments =
        vec!["-y", "-v", "error", "-f", "lavfi", "-i", "testsrc=size=320x240:rate=25:duration=2"];
    arguments.extend(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration=2"]);
    arguments.extend(codecs);
    let path = path.to_str().unwrap();
    arguments.push(path);
    run("ffmpeg", &arguments);
}

fn read(path: &Path) -> (Vec<Track>, Vec<Frame>) {
    let mut reader = Reader::open(fs::File::open(path).unwrap()).unwrap();
    let tracks = reader.tracks().to_vec();
    let mut frames = Vec::new();
    while let Some(frame) = reader.next_frame().unwrap() {
        frames.push(frame);
    }
    (tracks, frames)
}

/// Returns codec, packets read and frames decoded of each stream, as ffprobe counts them.
fn judge(path: &Path) -> Vec<(String, usize, usize)> {
    let entries = "stream=codec_name,nb_read_packets,nb_read_frames";
    let path = path.to_str().unwrap();
    let arguments =
        ["-v", "error", "-count_packets", "-count_frames", "-show_entries", entries, "-of", "csv=p=0", path];
    let output = run("ffprobe", &arguments);
    let lines = output.lines().filter(|line| !line.is_empty());
    lines
        .map(|line| {
            // The name, frames, packets.
            let fields: Vec<_> = line.split(',').collect();
            (fields[0].to_owned(), fields[2].parse().unwrap(), fields[1].parse().unwrap())
        })
        .collect()
}

/// Reads what ffmpeg wrote, writes it with ours, and has ffprobe decode that.
fn passes_through(name: &str, source: &str, codecs: &[&str], target: &str, names: &[&str]) {
    let Some(folder) = folder(name) else { return };
    let (from, to) = (folder.join(source), folder.join(target));
    make(&from, codecs);
    let (tracks, frames) = read(&from);
    assert_eq!(tracks.len(), names.len(), "{tracks:?}");
    let file = fs::File::create(&to).unwrap();
    let mut writer = match to.extension().unwrap().to_str().unwrap() {
        "webm" => Writer::webm(file, &tracks),
        "mkv" => Writer::matroska(file, &tracks),
        "mp4" => Writer::mp4(file, &tracks),
        "ogg" => Writer::ogg(file, &tracks),
        _ => Writer::ivf(file, &tracks),
    }
    .unwrap();
    frames.iter().for_each(|frame| writer.write(frame).unwrap());
    writer.finish().unwrap();
    let judged = judge(&to);
    assert_eq!(judged.iter().map(|(name, ..)| name.as_str()).collect::<Vec<_>>(), names);
    for (index, (name, packets, decoded)) in judged.iter().enumerate() {
        let sent = frames.iter().filter(|frame| frame.track == index).count();
        assert_eq!(*packets, sent, "{name}");
        assert!(*decoded >= sent - 1, "{name}: {decoded} of {sent}");
        assert!(sent >= 49, "{name}: {sent}");
    }
    // Picture and sound still end together.
    let end = |path: &Path| {
        let of = |track| {
            read(path).1.iter().filter(|frame| frame.track == track).map(|frame| frame.timestamp).max()
        };
        (0..tracks.len()).map(|track| of(track).unwrap()).collect::<Vec<Duration>>()
    };
    for (before, after) in end(&from).iter().zip(end(&to)) {
        assert!(before.abs_diff(after) < Duration::from_millis(2), "{before:?} {after:?}");
    }
}

#[test]
fn webm_of_vp8_and_opus() {
    let codecs = ["-c:v", "libvpx", "-c:a", "libopus", "-b:v", "500k"];
    passes_through("vp8", "in.webm", &codecs, "out.webm", &["vp8", "opus"]);
}

#[test]
fn webm_of_vp9_and_opus() {
    let codecs = [
        "-c:v",
        "libvpx-vp9",
        "-deadline",
        "realtime",
        "-cpu-used",
        "8",
        "-lag-in-frames",
        "0",
        "-c:a",
        "libopus",
    ];
    passes_through("vp9", "in.webm", &codecs, "out.webm", &["vp9", "opus"]);
}

#[test]
fn mp4_of_h264_and_opus() {
    let codecs = ["-c:v", "libx264", "-bf", "0", "-pix_fmt", "yuv420p", "-c:a", "libopus"];
    passes_through("h264", "in.mp4", &codecs, "out.mp4", &["h264", "opus"]);
    let fragments = [&codecs[..], &["-movflags", "frag_keyframe+empty_moov+default_base_moof"]].concat();
    passes_through("h264-fragments", "in.mp4", &fragments, "out.mkv", &["h264", "opus"]);
}

#[test]
fn mp4_with_pictures_out_of_order_is_read() {
    let Some(folder) = folder("h264-reordered") else { return };
    let path = folder.join("in.mp4");
    make(&path, &["-c:v", "libx264", "-bf", "2", "-pix_fmt", "yuv420p", "-an"]);
    let (tracks, frames) = read(&path);
    assert_eq!((tracks[0].codec, tracks[0].width, tracks[0].height), (Codec::H264, 320, 240));
    let mut times: Vec<_> = frames.iter().map(|frame| frame.timestamp.as_millis()).collect();
    assert!(!times.is_sorted());
    times.sort_unstable();
    assert_eq!(times, (0..50).map(|index| index * 40).collect::<Vec<_>>());
}

#[test]
fn ogg_of_opus() {
    passes_through("opus", "in.ogg", &["-map", "1:a", "-c:a", "libopus"], "out.ogg", &["opus"]);
}

#[test]
fn ivf_of_vp8_and_vp9() {
    passes_through("ivf-vp8", "in.ivf", &["-map", "0:v", "-c:v", "libvpx"], "out.ivf", &["vp8"]);
    let vp9 = [
        "-map",
        "0:v",
        "-c:v",
        "libvpx-vp9",
        "-deadline",
        "realtime",
        "-cpu-used",
        "8",
        "-lag-in-frames",
        "0",
    ];
    passes_through("ivf-vp9", "in.ivf", &vp9, "out.ivf", &["vp9"]);
}

#[test]
fn webm_of_av1() {
    let codecs =
        ["-map", "0:v", "-c:v", "libaom-av1", "-cpu-used", "8", "-usage", "realtime", "-row-mt", "0"];
    passes_through("av1", "in.webm", &codecs, "out.webm", &["av1"]);
}
