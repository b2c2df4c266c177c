//! One client on a stream, TCP or TLS: messages are cut out of what it sends, and what it is sent
//! waits in a queue that has a bound.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use columba_stun::stream::{Frame, Reader};
use columba_turn::server::{FiveTuple, Input, Transport};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::sync::Notify;

use super::accept::SEND_BUFFER;
use super::admission::Place;
use super::shared::Shared;
use super::worker::{Worker, with_worker};
use crate::memory::{Held, Holder};
use crate::places::client_network;

/// The bytes that may wait for a client before data for it is dropped. What is on its way is in the
/// kernel's buffer; this is for the moments until the task runs. More would only make old data
/// older.
const DATA_BOUND: usize = 64 << 10;

/// The bytes that may wait if they are answers to the client's own requests. A client that lets
/// these pile up does not read, and is cut off.
const ANSWER_BOUND: usize = DATA_BOUND + (32 << 10);

/// The buffer that a quiet connection keeps, in bytes.
const QUIET_CAPACITY: usize = 4 << 10;

/// The bytes that a stream counts for besides its queue: its tasks and the buffer that it is read
/// into.
const STREAM_BYTES: usize = 12 << 10;

/// The time without any progress in writing after which a client is given up.
const STALL: Duration = Duration::from_secs(30);

/// The server's end of a stream, to which any task may push.
#[derive(Debug)]
pub(super) struct Stream {
    tuple: FiveTuple,
    outbox: Mutex<Outbox>,
    /// Something has been pushed, or the stream is to close.
    wake: Notify,
    /// The client does not read its answers.
    overrun: Notify,
}

#[derive(Debug)]
struct Outbox {
    /// The bytes that have been pushed and not been taken for writing. Bound: [`DATA_BOUND`],
    /// [`ANSWER_BOUND`].
    queue: Vec<u8>,
    /// The bytes that were taken and have not been written.
    in_flight: usize,
    /// When writing has last made progress, while there is something to write.
    writing_since: Option<Instant>,
    /// The time of the last whole message of the client.
    last_message: Instant,
    /// The bytes that all this counts for.
    held: Held,
    /// The capacity of the bytes on their way to the socket.
    batch_capacity: usize,
    /// The kernel takes no more at the moment, and so holds as much as it may.
    is_blocked: bool,
    /// The standing of the client, as of the last answer.
    standing: Standing,
    /// Write what is there, then close.
    closing: bool,
}

impl Outbox {
    /// Notes whether the kernel takes more.
    fn block(&mut self, is_blocked: bool) {
        if self.is_blocked != is_blocked {
            self.is_blocked = is_blocked;
            self.count();
        }
    }

    /// Counts what is held. If that is too much, the stream's task is told.
    fn count(&mut self) {
        let kernel = if self.is_blocked { 2 * SEND_BUFFER } else { 0 };
        let _evicted = self.held.resize(STREAM_BYTES + self.queue.capacity() + self.batch_capacity + kernel);
    }
}

/// The standing of a client on a stream: with an allocation or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// An allocation.
    Allocated,
    /// None.
    Stranger,
}

impl Standing {
    pub(super) const fn of(allocated: bool) -> Self {
        if allocated { Self::Allocated } else { Self::Stranger }
    }
}

/// The reason for which a stream has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The client has closed it, or the connection broke, or this server has done with it.
    Closed,
    /// No allocation and no message.
    Idle,
    /// It takes nothing any more.
    Stalled,
    /// The input is no frame.
    Garbage,
    /// It was silent, and another wanted its place.
    MadeWay,
    /// It held most when the memory for clients was used up.
    Evicted,
}

impl Stream {
    fn new(tuple: FiveTuple, held: Held) -> Self {
        let outbox = Outbox {
            held,
            batch_capacity: 0,
            queue: Vec::new(),
            in_flight: 0,
            is_blocked: false,
            writing_since: None,
            last_message: Instant::now(),
            standing: Standing::Stranger,
            closing: false,
        };
        Self { tuple, outbox: Mutex::new(outbox), wake: Notify::new(), overrun: Notify::new() }
    }

    /// Queues data that was relayed. False if it was dropped, as UDP would drop it.
    pub(super) fn push_data(&self, bytes: &[u8]) -> bool {
        self.push(bytes, DATA_BOUND)
    }

    /// Queues an answer of the server. If there is no room even for that, the stream will end.
    pub(super) fn push_answer(&self, bytes: &[u8], standing: Standing) {
        self.outbox().standing = standing;
        if !self.push(bytes, ANSWER_BOUND) {
            self.overrun.notify_one();
        }
    }

    /// Closes the stream once everything that was pushed is written.
    pub(super) fn close(&self) {
        self.outbox().closing = true;
        self.wake.notify_one();
    }

    fn push(&self, bytes: &[u8], bound: usize) -> bool {
        let mut outbox = self.outbox();
        if outbox.closing || outbox.queue.len() + outbox.in_flight + bytes.len() > bound {
            return false;
        }
        let wake = outbox.queue.is_empty();
        outbox.queue.extend_from_slice(bytes);
        outbox.count();
        drop(outbox);
        if wake {
            self.wake.notify_one();
        }
        true
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what is pushed until the stream is to close.
    async fn write<W: AsyncWrite>(&self, mut half: WriteHalf<W>) -> io::Result<End> {
        let mut batch = Vec::new();
        loop {
            let closing = {
                let mut outbox = self.outbox();
                std::mem::swap(&mut outbox.queue, &mut batch);
                outbox.batch_capacity = batch.capacity();
                outbox.count();
                outbox.in_flight = batch.len();
                outbox.writing_since = (!batch.is_empty()).then(Instant::now);
                outbox.closing
            };
            if !batch.is_empty() {
                self.write_batch(&mut half, &batch).await?;
                batch.clear();
            } else if closing {
                half.shutdown().await?;
                return Ok(End::Closed);
            } else {
                batch.shrink_to(QUIET_CAPACITY);
                self.wake.notified().await;
            }
        }
    }

    async fn write_batch<W: AsyncWrite>(&self, half: &mut WriteHalf<W>, batch: &[u8]) -> io::Result<()> {
        let mut written = 0;
        while written < batch.len() {
            let mut writing = pin!(half.write(&batch[written..]));
            let count = poll_fn(|context| {
                let wrote = writing.as_mut().poll(context);
                if wrote.is_pending() {
                    self.outbox().block(true);
                }
                wrote
            })
            .await?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            written += count;
            let mut outbox = self.outbox();
            outbox.in_flight = batch.len() - written;
            if outbox.in_flight == 0 {
                outbox.block(false);
            }
            outbox.writing_since = Some(Instant::now());
        }
        // TLS keeps what the socket did not take.
        half.flush().await
    }

    /// Looks from time to time whether the client is still there.
    async fn watch(&self, idle: Duration) -> End {
        loop {
            tokio::time::sleep(idle.min(STALL) / 4).await;
            let now = Instant::now();
            let outbox = self.outbox();
            if outbox.writing_since.is_some_and(|since| now.duration_since(since) >= STALL) {
                return End::Stalled;
            }
            if outbox.standing == Standing::Stranger && now.duration_since(outbox.last_message) >= idle {
                return End::Idle;
            }
        }
    }
}

/// Reads messages and hands them to the server until the stream ends.
async fn read<R: AsyncRead>(
    shared: &Arc<Shared>,
    stream: &Stream,
    place: &Place,
    mut half: ReadHalf<R>,
    mut prefix: &[u8],
) -> io::Result<End> {
    let mut reader = Reader::new();
    let mut begun = false;
    loop {
        let first_byte = if let Some(&first_byte) = prefix.first() {
            let taken = reader.feed(prefix);
            prefix = &prefix[taken..];
            first_byte
        } else {
            let space = reader.space();
            let count = half.read(space).await?;
            let first_byte = space[0];
            if count == 0 {
                return Ok(End::Closed);
            }
            reader.advance(count);
            first_byte
        };
        // Without an allocation there is no channel, so channel data cannot be the beginning; but
        // many other things look like it, HTTP for one.
        if !begun && first_byte >= 0x40 {
            return Ok(End::Garbage);
        }
        begun = true;
        match with_worker(|worker| hand_over(shared, stream, &mut reader, worker)) {
            Ok(true) => {
                let now = Instant::now();
                let mut outbox = stream.outbox();
                outbox.last_message = now;
                let standing = outbox.standing;
                drop(outbox);
                place.note(standing, now);
            }
            Ok(false) => {}
            Err(end) => return Ok(end),
        }
    }
}

/// Gives every whole message to the server. Says whether there was one.
fn hand_over(
    shared: &Arc<Shared>,
    stream: &Stream,
    reader: &mut Reader,
    worker: &mut Worker,
) -> Result<bool, End> {
    let mut any = false;
    let end = loop {
        match reader.next_frame() {
            Ok(Some(Frame::Message(bytes) | Frame::ChannelData(bytes))) => {
                worker.add_message(shared, stream.tuple, bytes);
                any = true;
            }
            Ok(None) => break Ok(any),
            Err(_) => break Err(End::Garbage),
        }
    };
    worker.run(shared);
    end
}

/// Serves a stream until it ends, at either end.
pub(super) async fn serve<S>(
    shared: &Arc<Shared>,
    stream: S,
    prefix: &[u8],
    local: SocketAddr,
    client: SocketAddr,
    transport: Transport,
    place: Place,
) where
    S: AsyncRead + AsyncWrite,
{
    let tuple = FiveTuple::stream(transport, local, client, shared.next_stream());
    let account = shared.budget.open(Some(client_network(client.ip())));
    let Ok(held) = account.hold(Holder::TurnStreams, STREAM_BYTES) else {
        return shared.counters.streams_evicted.add_one();
    };
    let open = Open::new(shared, Arc::new(Stream::new(tuple, held)));
    let (read_half, write_half) = tokio::io::split(stream);
    let end = tokio::select! {
        end = read(shared, &open.stream, &place, read_half, prefix) => end,
        end = open.stream.write(write_half) => end,
        end = open.stream.watch(shared.limits.idle_timeout) => Ok(end),
        () = open.stream.overrun.notified() => Ok(End::Stalled),
        () = place.lost() => Ok(End::MadeWay),
        () = account.evicted() => Ok(End::Evicted),
        () = shared.closing() => Ok(End::Closed),
    };
    // A broken connection is an ordinary end.
    match end.unwrap_or(End::Closed) {
        End::Closed => {}
        End::Idle => shared.counters.streams_idle.add_one(),
        End::Stalled => shared.counters.streams_stalled.add_one(),
        End::Garbage => shared.counters.streams_garbage.add_one(),
        End::MadeWay => shared.counters.streams_made_way.add_one(),
        End::Evicted => shared.counters.streams_evicted.add_one(),
    }
}

/// A stream that the server knows of, for as long as this lives, even if its task is thrown away.
struct Open<'a> {
    shared: &'a Arc<Shared>,
    stream: Arc<Stream>,
}

impl<'a> Open<'a> {
    fn new(shared: &'a Arc<Shared>, stream: Arc<Stream>) -> Self {
        shared.core().streams.insert(stream.tuple.connection(), Arc::clone(&stream));
        shared.counters.streams_accepted.add_one();
        shared.counters.streams_open.add_one();
        Self { shared, stream }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let tuple = self.stream.tuple;
        self.shared.core().streams.remove(&tuple.connection());
        self.shared.counters.streams_open.subtract_one();
        with_worker(|worker| worker.input(self.shared, Input::ConnectionClosed { tuple }));
    }
}
