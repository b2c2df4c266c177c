//! The frames of a file, read on a thread of their own.

use std::fs::File;
use std::io::{BufReader, Seek as _};
use std::path::Path;
use std::time::Duration;

use columba_containers::{Codec, Error, Frame, Reader, Track};
use tokio::sync::mpsc;

use crate::failure::Failure;

/// Frames that are read ahead.
const AHEAD: usize = 64;

/// The time of the last frame where no other frame tells it.
const LAST_FRAME: Duration = Duration::from_millis(40);

/// A file that is played.
pub(super) struct Film {
    reader: Reader<BufReader<File>>,
    file: File,
    pub(super) video: Option<(usize, Codec)>,
    pub(super) audio: Option<(usize, Codec)>,
}

impl Film {
    /// Opens a file, and chooses its first picture and its first sound.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let name = path.display();
        let file = File::open(path)
            .map_err(|error| Failure::new(format!("The file {name} cannot be read: {error}.")))?;
        let reader =
            file.try_clone().map_err(Error::from).and_then(|file| Reader::open(BufReader::new(file)));
        let reader = reader.map_err(|error| {
            let kinds = "WebM, Matroska, MP4, Ogg or IVF with VP8, VP9, AV1, H.264 or Opus";
            Failure::new(format!("The file {name} cannot be played: {error}; it must be {kinds}."))
        })?;
        let first = |is_wanted: &dyn Fn(&Track) -> bool| {
            reader.tracks().iter().position(is_wanted).map(|index| (index, reader.tracks()[index].codec))
        };
        let (video, audio) = (first(&|one| one.codec.is_video()), first(&|one| !one.codec.is_video()));
        Ok(Self { reader, file, video, audio })
    }

    /// Reads frames on a thread of their own, again from the beginning if it is to be repeated.
    /// Times go on.
    pub(super) fn read(mut self, repeats: bool) -> mpsc::Receiver<Result<Frame, Error>> {
        let (sender, receiver) = mpsc::channel(AHEAD);
        std::thread::spawn(move || {
            let mut offset = Duration::ZERO;
            loop {
                let (mut end, mut previous) = (Duration::ZERO, None);
                loop {
                    let frame = match self.reader.next_frame() {
                        Ok(Some(frame)) => frame,
                        Ok(None) => break,
                        Err(error) => {
                            // The other side may be gone, too.
                            let _ = sender.blocking_send(Err(error));
                            return;
                        }
                    };
                    let is_first_track = self.video.or(self.audio).is_some_and(|(at, _)| at == frame.track);
                    if is_first_track {
                        let step = previous.map_or(LAST_FRAME, |at| frame.timestamp.saturating_sub(at));
                        previous = Some(frame.timestamp);
                        end = end.max(frame.timestamp + step);
                    }
                    let frame = Frame { timestamp: frame.timestamp + offset, ..frame };
                    if sender.blocking_send(Ok(frame)).is_err() {
                        return;
                    }
                }
                offset += end;
                if !repeats || end.is_zero() || !self.rewind() {
                    return;
                }
            }
        });
        receiver
    }

    fn rewind(&mut self) -> bool {
        let again = self.file.rewind().and_then(|()| self.file.try_clone());
        match again.map_err(Error::from).and_then(|file| Reader::open(BufReader::new(file))) {
            Ok(reader) => {
                self.reader = reader;
                true
            }
            Err(_) => false,
        }
    }
}
