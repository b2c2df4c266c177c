//! The ends of a command that exchanges files, with their exit codes.

use std::fmt;

use crate::failure::Failure;

/// The reason for which a command did not do what it was asked for: one sentence, and an exit code
/// for scripts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stop {
    pub(crate) kind: StopKind,
    sentence: String,
}

/// The kinds of ends, each with an exit code of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopKind {
    /// The command line, a file or the server does not fit.
    Refused,
    /// The other side does not want it, or has stopped.
    Declined,
    /// The other side did not come, or did not come back.
    Lost,
    /// There is no room, or a file is there already.
    Disk,
    /// The code is wrong, or the other side did not prove that it is the one that was meant.
    Untrusted,
    /// The program was interrupted.
    Interrupted,
}

impl Stop {
    pub(crate) fn new(kind: StopKind, sentence: impl Into<String>) -> Self {
        Self { kind, sentence: sentence.into() }
    }

    pub(crate) fn refused(sentence: impl Into<String>) -> Self {
        Self::new(StopKind::Refused, sentence)
    }

    pub(crate) fn disk(sentence: impl Into<String>) -> Self {
        Self::new(StopKind::Disk, sentence)
    }

    /// The exit code; `columba send --help` lists them.
    pub(crate) const fn exit_code(&self) -> u8 {
        match self.kind {
            StopKind::Refused => 2,
            StopKind::Declined => 3,
            StopKind::Lost => 4,
            StopKind::Disk => 5,
            StopKind::Untrusted => 6,
            StopKind::Interrupted => 130,
        }
    }
}

/// The exit codes as the help texts list them.
pub(crate) const EXIT_CODES: &str = "Exit codes: 0 done, 2 not possible as asked, 3 declined or stopped by the other side, \
4 the other side is lost, 5 no room or a file is there, 6 wrong code, 130 interrupted";

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::refused(failure.to_string())
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}
