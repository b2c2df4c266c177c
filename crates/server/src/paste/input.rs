//! The place from which the other side's text is read.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use columba_files::MAX_PASTE;

use crate::transfer::end::Stop;

/// A source of texts.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// The lines of standard input.
    Standard,
    /// The terminal, where standard input is for something else.
    Terminal,
    /// A file, or a named pipe.
    File(PathBuf),
}

impl Source {
    pub(super) fn new(file: Option<&Path>, input_is_taken: bool) -> Result<Self, Stop> {
        if let Some(path) = file {
            return Ok(Self::File(path.to_owned()));
        }
        if !input_is_taken || io::stdin().is_terminal() {
            return Ok(Self::Standard);
        }
        if File::open("/dev/tty").is_ok() {
            return Ok(Self::Terminal);
        }
        Err(Stop::refused(
            "Standard input is for the pipe, and there is no terminal to paste at: name a file for the other side's text with --text.",
        ))
    }

    /// Says what is awaited.
    pub(super) fn prompt(&self, sentence: &str) {
        match self {
            Self::Standard | Self::Terminal => eprintln!("{sentence}"),
            Self::File(path) => eprintln!("Waiting for the other side's text in {}.", path.display()),
        }
    }

    /// Says what is wrong with a text; another try is possible at a terminal only.
    pub(super) fn complain(&self, sentence: &str) -> Result<(), Stop> {
        let can_try_again = match self {
            Self::Standard => io::stdin().is_terminal(),
            Self::Terminal => true,
            Self::File(_) => false,
        };
        if !can_try_again {
            return Err(Stop::refused(sentence));
        }
        eprintln!("* {sentence}");
        Ok(())
    }

    /// Reads the next text, on a thread of its own, which may wait for ever.
    pub(super) async fn read(&self) -> Result<String, Stop> {
        let source = self.clone();
        let (done, read) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let _ = done.send(source.read_now());
        });
        let read = read.await.unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()));
        read.map_err(|error| Stop::refused(format!("The other side's text cannot be read: {error}.")))
    }

    fn read_now(&self) -> io::Result<String> {
        match self {
            Self::Standard => read_text(io::stdin().lock()),
            Self::Terminal => read_text(BufReader::new(File::open("/dev/tty")?)),
            Self::File(path) => {
                let mut text = String::new();
                File::open(path)?.take(2 * MAX_PASTE as u64).read_to_string(&mut text)?;
                Ok(text)
            }
        }
    }
}

/// Reads a line that is not empty, or what there is of one that has no end.
fn read_text(mut input: impl io::BufRead) -> io::Result<String> {
    loop {
        let mut line = String::new();
        if input.by_ref().take(2 * MAX_PASTE as u64).read_line(&mut line)? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the input has ended"));
        }
        if !line.trim().is_empty() {
            return Ok(line);
        }
    }
}
