//! A file that is written on a thread of its own.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use columba_containers::{Codec, Error, Frame, Track, Writer};

use crate::chat::screen;

/// Frames that wait for the disk, at most: ten seconds or so.
const MAX_WAITING: usize = 1024;

/// Letters of a name that go into that of a file.
const MAX_NAME: usize = 60;

/// Files of one name at most.
const MAX_FILES: u32 = 10_000;

/// A file that is open.
pub(super) struct Recorded {
    sender: SyncSender<Frame>,
    thread: JoinHandle<Result<(), Error>>,
    pub(super) path: PathBuf,
    lost: u64,
}

impl Recorded {
    /// Begins a file of a participant, whose name is not taken from a file that is there.
    pub(super) fn create(directory: &Path, name: &str, tracks: Vec<Track>) -> Result<Self, Error> {
        let is_mp4 = tracks.iter().any(|track| track.codec == Codec::H264);
        let (path, file) = new_file(directory, &file_name(name), if is_mp4 { "mp4" } else { "webm" })?;
        let mut writer = if is_mp4 { Writer::mp4(file, &tracks)? } else { Writer::webm(file, &tracks)? };
        let (sender, frames) = sync_channel::<Frame>(MAX_WAITING);
        let thread = std::thread::spawn(move || {
            for frame in frames {
                writer.write(&frame)?;
            }
            writer.finish().map(drop)
        });
        Ok(Self { sender, thread, path, lost: 0 })
    }

    /// Writes a frame; false once the file cannot be written any more.
    pub(super) fn write(&mut self, frame: Frame) -> bool {
        match self.sender.try_send(frame) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.lost += 1;
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        }
    }

    /// Writes what waits, and ends the file.
    pub(super) fn finish(self) {
        let Self { sender, thread, path, lost } = self;
        drop(sender);
        let path = path.display();
        match thread.join() {
            Ok(Ok(())) if lost == 0 => screen::note(&format!("{path} is complete.")),
            Ok(Ok(())) => {
                screen::note(&format!("{path} is complete but for {lost} frames: the disk was too slow."));
            }
            Ok(Err(error)) => screen::note(&format!("{path} cannot be written further: {error}.")),
            Err(_) => screen::note(&format!("{path} cannot be written further.")),
        }
    }
}

/// Creates a file under a name that no other has.
fn new_file(directory: &Path, name: &str, extension: &str) -> io::Result<(PathBuf, File)> {
    for number in 1..=MAX_FILES {
        let name = match number {
            1 => format!("{name}.{extension}"),
            _ => format!("{name}-{number}.{extension}"),
        };
        let path = directory.join(name);
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Returns the part of a participant's name that is safe in that of a file everywhere.
fn file_name(name: &str) -> String {
    let safe = |letter: char| if letter.is_alphanumeric() || letter == '-' { letter } else { '_' };
    let name: String = name.trim().chars().take(MAX_NAME).map(safe).collect();
    if name.chars().all(|letter| letter == '_') { "guest".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_others_stay_in_the_directory() {
        assert_eq!(file_name("Ann Lee"), "Ann_Lee");
        assert_eq!(file_name("../../etc/passwd"), "______etc_passwd");
        assert_eq!(file_name("CON:\0"), "CON__");
        assert_eq!(file_name(""), "guest");
        assert_eq!(file_name(".."), "guest");
        assert_eq!(file_name(&"x".repeat(100)).len(), MAX_NAME);
    }
}
