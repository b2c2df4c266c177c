//! The task of one WebSocket: a small state machine that reads, writes and waits at the same time,
//! and holds no buffer while it waits.

use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use columba_signal::{Config, ErrorCode, Input, Reading};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::time::{Sleep, sleep, sleep_until};

use super::frame::{self, Decoder, Incoming};
use crate::http::UNREAD_BYTES;
use crate::memory::Held;
use crate::places::Place;
use crate::signal::attachment::{Attachment, Closing};

/// The time in which a client must take the last frames and send its own close.
const FAREWELL: Duration = Duration::from_secs(2);

/// The bytes read at a time, on the stack.
const READ: usize = 16 * 1024;

/// The bytes to be written above which no more frames are pulled from the relay.
const BATCH: usize = 16 * 1024;

/// The frames that are read while the client takes nothing of what is to be written. Their answers
/// wait in the relay.
const UNANSWERED: u32 = 32;

/// The time after a write in which small frames wait for others to go along with: a write costs as
/// much as all else that is done for a small message.
const REST: Duration = Duration::from_millis(1);

/// The stage of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Both sides talk.
    Open,
    /// The relay has ended it: the last frames go out, then the client's close is waited for.
    Ending,
    /// The client has ended it, or broken the rules: the answer goes out.
    Answering,
}

/// Carries frames both ways until one side ends it.
pub(super) struct Conversation {
    io: TokioIo<Upgraded>,
    attachment: Attachment,
    place: Place,
    held: Held,
    idle_bytes: usize,
    decoder: Decoder,
    /// The largest message that is worth reading.
    limit: usize,
    out: Vec<u8>,
    written: usize,
    unflushed: bool,
    /// When frames of the relay were last taken to be written.
    pulled: Option<Instant>,
    /// Until then no more are taken.
    rest: Option<Pin<Box<Sleep>>>,
    /// Frames read since something could be written.
    unanswered: u32,
    stage: Stage,
    /// Until then nothing is read.
    pause: Option<Pin<Box<Sleep>>>,
    /// Until then everything must be out.
    farewell: Option<Pin<Box<Sleep>>>,
}

impl Conversation {
    pub(super) fn new(io: TokioIo<Upgraded>, attachment: Attachment, held: Held, place: Place) -> Self {
        let limit = attachment.reading_limit();
        Self {
            io,
            attachment,
            place,
            idle_bytes: held.bytes(),
            held,
            decoder: Decoder::default(),
            limit,
            out: Vec::new(),
            written: 0,
            unflushed: false,
            pulled: None,
            rest: None,
            unanswered: 0,
            stage: Stage::Open,
            pause: None,
            farewell: None,
        }
    }

    /// Writes what there is to write, and pulls more. Ready when everything is out and the
    /// conversation has ended.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            while let Some(rest) = self.out.get(self.written..).filter(|rest| !rest.is_empty()) {
                let wrote = ready!(Pin::new(&mut self.io).poll_write(context, rest))?;
                if wrote == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.written += wrote;
                self.unanswered = 0;
                self.unflushed = true;
            }
            self.out = Vec::new();
            self.written = 0;
            self.account()?;
            if self.unflushed {
                ready!(Pin::new(&mut self.io).poll_flush(context))?;
                self.unflushed = false;
            }
            if self.stage != Stage::Open {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_rest(context));
            while self.out.len() < BATCH && self.stage == Stage::Open {
                let out = &mut self.out;
                let pulled = self.attachment.poll_frames(context, |frame| {
                    frame::write_text(out, &frame.text);
                    if frame.ping {
                        frame::write_ping(out);
                    }
                    out.len() < BATCH
                });
                match pulled {
                    Poll::Ready(None) => {}
                    Poll::Ready(Some(Closing { code, error })) => {
                        let reason = error.map(ErrorCode::as_str).unwrap_or_default();
                        frame::write_close(&mut self.out, code, reason);
                        self.stage = Stage::Ending;
                    }
                    Poll::Pending => break,
                }
            }
            if self.out.len() >= BATCH {
                // A full batch is worth a write, and so is the next.
                self.pulled = None;
            }
            self.account()?;
            if self.out.is_empty() {
                return Poll::Pending;
            }
        }
    }

    /// Ready when frames of the relay may be taken, if it has any. The first after a while goes out
    /// at once, those that come soon after one wait for a moment, and go out together.
    fn poll_rest(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.unanswered >= UNANSWERED {
            // The client waits for answers, and is not read before they go out.
            (self.rest, self.pulled) = (None, None);
        }
        if let Some(rest) = &mut self.rest {
            ready!(rest.as_mut().poll(context));
            (self.rest, self.pulled) = (None, None);
        }
        if !self.attachment.is_writable() || self.attachment.closing().is_some() {
            return Poll::Ready(());
        }
        let now = Instant::now();
        let until = self.pulled.map(|pulled| pulled + REST).filter(|until| *until > now);
        let Some(until) = until else {
            self.pulled = Some(now);
            return Poll::Ready(());
        };
        let rest = self.rest.insert(Box::pin(sleep_until(until.into())));
        rest.as_mut().poll(context)
    }

    /// Reads and handles what has arrived. Ready when nothing more will be read.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(context));
                self.pause = None;
            }
            // The writing wakes this task when the client takes something; the relay has done so if
            // there is something to pull, before too many answers wait there.
            let answers_wait = !self.out.is_empty() || self.attachment.is_writable();
            if self.stage == Stage::Open && self.unanswered >= UNANSWERED && answers_wait {
                return Poll::Pending;
            }
            let mut space = [MaybeUninit::<u8>::uninit(); READ];
            let mut buffer = ReadBuf::uninit(&mut space);
            ready!(Pin::new(&mut self.io).poll_read(context, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            match self.stage {
                Stage::Open => self.handle(buffer.filled()),
                // Bytes unread at the close would make the kernel take back what was just sent.
                Stage::Ending => self.look_for_close(buffer.filled()),
                Stage::Answering => {}
            }
            self.account()?;
            if self.stage == Stage::Answering || (self.stage == Stage::Open && self.decoder.is_broken()) {
                // The relay closes the connection; nothing after the frame can be read.
                return Poll::Pending;
            }
        }
    }

    /// Forgets what the client still sends, up to its close.
    fn look_for_close(&mut self, mut bytes: &[u8]) {
        while let Some(incoming) = self.decoder.next(&mut bytes, self.limit) {
            if matches!(incoming, Incoming::Close | Incoming::Fault(_)) {
                self.stage = Stage::Answering;
                return;
            }
        }
    }

    /// Handles all frames that end in these bytes.
    fn handle(&mut self, mut bytes: &[u8]) {
        let (mut pause, mut effort) = (Duration::ZERO, 0.0);
        let mut pong: Option<Vec<u8>> = None;
        let mut end = None;
        while let Some(incoming) = self.decoder.next(&mut bytes, self.limit) {
            self.unanswered = self.unanswered.saturating_add(1);
            let (input, size) = match incoming {
                Incoming::Text(text) => (Input::Text(text), text.len()),
                Incoming::Binary => (Input::Binary, 0),
                Incoming::TooLarge => (Input::TooLarge, 0),
                Incoming::Ping(payload) => {
                    // Only the last of several pings need be answered (RFC 6455 §5.5.3).
                    pong = Some(payload.to_vec());
                    (Input::Activity, 0)
                }
                Incoming::Pong | Incoming::Fragment => (Input::Activity, 0),
                Incoming::Close => {
                    end = Some(1000);
                    break;
                }
                Incoming::Fault(code) => {
                    end = Some(code);
                    break;
                }
            };
            let Reading { limit, pause: own } = self.attachment.input(input);
            self.limit = limit;
            pause = pause.max(own);
            effort += Config::frame_effort(size);
        }
        pause = pause.max(self.place.spend(effort));
        if let Some(payload) = pong.filter(|_| self.out.len() - self.written < BATCH) {
            frame::write_pong(&mut self.out, &payload);
        }
        if let Some(code) = end {
            frame::write_close(&mut self.out, code, "");
            self.stage = Stage::Answering;
        }
        if pause > Duration::ZERO {
            self.pause = Some(Box::pin(sleep(pause)));
        }
    }

    /// Holds the memory of unfinished messages.
    fn account(&mut self) -> io::Result<()> {
        /// The step in bytes in which the budget is told, so that small messages need not be.
        const STEP: usize = 4096;
        let mut bytes = (self.decoder.held() + self.out.capacity()) / STEP * STEP;
        if self.pause.is_some() || (self.unanswered >= UNANSWERED && !self.out.is_empty()) {
            bytes += UNREAD_BYTES;
        }
        self.held.resize(self.idle_bytes + bytes).map_err(io::Error::other)
    }

    fn poll_all(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let written = self.poll_write(context)?;
            if self.stage == Stage::Answering {
                return written.map(Ok);
            }
            let (stage, waiting) = (self.stage, self.out.len());
            // What is read may be answered by the relay, which wakes this task then.
            if (stage == Stage::Ending || !self.decoder.is_broken()) && self.poll_read(context)?.is_ready() {
                return Poll::Ready(Ok(()));
            }
            if self.stage == stage && self.out.len() == waiting {
                return Poll::Pending;
            }
        }
    }
}

impl Future for Conversation {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.attachment.wake_on_change(context);
        if this.poll_all(context).is_ready() {
            return Poll::Ready(());
        }
        // Once one side has ended it, the client has a moment to take and send the last.
        if this.farewell.is_none() && (this.stage != Stage::Open || this.attachment.closing().is_some()) {
            this.farewell = Some(Box::pin(sleep(FAREWELL)));
        }
        match &mut this.farewell {
            Some(farewell) => farewell.as_mut().poll(context),
            None => Poll::Pending,
        }
    }
}
