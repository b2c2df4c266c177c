//! A stream of bytes each way that outlives the channels that carry it: what the other side has not
//! said to have is kept, and sent again on the next channel (`docs/pipe.md`).

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use columba::{DataChannel, Message};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Notify;

/// Bytes of a message.
const MESSAGE: usize = 32 * 1024;

/// Bytes that are kept until the other side has them; no more is read meanwhile.
const MAX_KEPT: usize = 8 * 1024 * 1024;

/// Bytes after which the other side is told what is here.
const HAVE_EACH: u64 = 256 * 1024;

/// The texts: bytes that are here, the end of the stream, and that all of it is here.
const HAVE: &str = "have ";
const END: &str = "end ";
const DONE: &str = "done";

/// The way in which a channel has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Both directions have arrived as a whole.
    Done,
    /// The channel broke; the streams go on over the next.
    Broken,
    /// The other side has lost what was carried, or breaks the protocol.
    Fault,
}

/// Both directions of a stream.
#[derive(Debug)]
pub(crate) struct Stream<I, O> {
    input: I,
    output: Option<O>,
    /// The bytes that have come of the other side.
    received: u64,
    /// True once its stream has ended here.
    is_whole: bool,
    sent: Mutex<Sent>,
    changed: Notify,
}

/// The own direction.
#[derive(Debug, Default)]
struct Sent {
    kept: VecDeque<Bytes>,
    /// The offset of the first byte that is kept, and of the one behind the last.
    from: u64,
    read: u64,
    has_ended: bool,
    /// The offset of the next message; unknown until the other side has said what it has.
    next: Option<u64>,
    end_is_sent: bool,
    /// True once the other side has everything.
    is_whole: bool,
}

/// The next thing that the own direction does.
enum Step {
    Send(Message),
    Read,
    Wait,
}

impl Sent {
    /// The other side has everything before this offset; false if that cannot be.
    fn acknowledge(&mut self, offset: u64) -> bool {
        if offset < self.from || offset > self.read {
            return false;
        }
        while let Some(first) = self.kept.front_mut() {
            let skip = offset - self.from;
            if skip < first.len() as u64 {
                // It fits: it is less than a length.
                let _ = first.split_to(usize::try_from(skip).unwrap_or(0));
                self.from = offset;
                break;
            }
            self.from += first.len() as u64;
            self.kept.pop_front();
        }
        self.next.get_or_insert(offset);
        true
    }

    fn step(&mut self) -> Step {
        let Some(next) = self.next else { return Step::Wait };
        let mut at = self.from;
        for part in &self.kept {
            if at == next {
                self.next = Some(at + part.len() as u64);
                return Step::Send(part.clone().into());
            }
            at += part.len() as u64;
        }
        if self.has_ended && !std::mem::replace(&mut self.end_is_sent, true) {
            return Step::Send(format!("{END}{}", self.read).into());
        }
        let kept = self.read - self.from;
        if self.has_ended || kept >= MAX_KEPT as u64 { Step::Wait } else { Step::Read }
    }

    fn add(&mut self, bytes: Bytes) {
        self.read += bytes.len() as u64;
        self.kept.push_back(bytes);
    }
}

impl<I: AsyncRead + Unpin, O: AsyncWrite + Unpin> Stream<I, O> {
    pub(crate) fn new(input: I, output: O) -> Self {
        Self {
            input,
            output: Some(output),
            received: 0,
            is_whole: false,
            sent: Mutex::new(Sent::default()),
            changed: Notify::new(),
        }
    }

    /// Carries bytes over this channel until it breaks, or both directions have ended. The channel
    /// is closed then.
    pub(crate) async fn carry(&mut self, channel: &DataChannel) -> Outcome {
        {
            let mut sent = lock(&self.sent);
            (sent.next, sent.end_is_sent) = (None, false);
        }
        let (sent, changed) = (&self.sent, &self.changed);
        let receiving = Receiving {
            channel,
            output: &mut self.output,
            received: &mut self.received,
            is_whole: &mut self.is_whole,
            sent,
            changed,
        };
        // What is being written must not be cut off: the receiving side alone sees the end.
        let outcome = tokio::select! {
            outcome = receiving.run() => outcome,
            never = send(channel, &mut self.input, sent, changed) => never,
        };
        channel.close();
        outcome
    }
}

fn lock(sent: &Mutex<Sent>) -> MutexGuard<'_, Sent> {
    sent.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads the input, and sends it. It never ends by itself.
async fn send(
    channel: &DataChannel,
    input: &mut (impl AsyncRead + Unpin),
    sent: &Mutex<Sent>,
    changed: &Notify,
) -> Outcome {
    loop {
        let step = lock(sent).step();
        match step {
            Step::Send(message) => {
                if channel.send(message).await.is_err() {
                    // The end of the channel shows in what is received.
                    return std::future::pending().await;
                }
            }
            Step::Wait => changed.notified().await,
            Step::Read => {
                let mut bytes = BytesMut::with_capacity(MESSAGE);
                let read = input.read_buf(&mut bytes).await;
                let mut sent = lock(sent);
                match read {
                    Ok(0) | Err(_) => sent.has_ended = true,
                    Ok(_) => sent.add(bytes.freeze()),
                }
            }
        }
    }
}

/// The other side's direction, on one channel.
struct Receiving<'a, O> {
    channel: &'a DataChannel,
    output: &'a mut Option<O>,
    received: &'a mut u64,
    is_whole: &'a mut bool,
    sent: &'a Mutex<Sent>,
    changed: &'a Notify,
}

impl<O: AsyncWrite + Unpin> Receiving<'_, O> {
    async fn run(mut self) -> Outcome {
        let mut told = *self.received;
        if self.channel.opened().await.is_err() || self.channel.try_send(format!("{HAVE}{told}")).is_err() {
            return Outcome::Broken;
        }
        while !(*self.is_whole && lock(self.sent).is_whole) {
            let Some(message) = self.channel.recv().await else { return Outcome::Broken };
            let go_on = match message {
                Message::Binary(bytes) => {
                    if let Some(output) = self.output {
                        // If it is closed here, the other direction may still go on.
                        let _ = output.write_all(&bytes).await;
                        let _ = output.flush().await;
                    }
                    *self.received += bytes.len() as u64;
                    if *self.received - told >= HAVE_EACH {
                        told = *self.received;
                        // Waiting for room would keep both sides from receiving.
                        let _ = self.channel.try_send(format!("{HAVE}{told}"));
                    }
                    true
                }
                Message::Text(text) => self.text(&text).await,
            };
            if !go_on {
                return Outcome::Fault;
            }
        }
        Outcome::Done
    }

    async fn text(&mut self, text: &str) -> bool {
        let number = |head: &str| text.strip_prefix(head).and_then(|rest| rest.parse::<u64>().ok());
        if let Some(offset) = number(HAVE) {
            let fits = lock(self.sent).acknowledge(offset);
            self.changed.notify_one();
            return fits;
        }
        if let Some(end) = number(END) {
            if end != *self.received {
                return false;
            }
            if let Some(mut output) = self.output.take() {
                let _ = output.shutdown().await;
            }
            *self.is_whole = true;
            if self.channel.try_send(DONE.to_owned()).is_err() {
                let _ = self.channel.send(DONE.to_owned()).await;
            }
        } else if text == DONE {
            let mut sent = lock(self.sent);
            sent.is_whole = sent.has_ended;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use columba::{Configuration, DataChannelInit, Event, PeerConnection};
    use tokio::io::{DuplexStream, duplex};
    use tokio::sync::watch;
    use tokio::time::{Duration, timeout};

    use super::*;

    /// Two ends of a channel of a new connection.
    async fn channels() -> [(PeerConnection, DataChannel); 2] {
        let make = || {
            let (connection, events) = PeerConnection::new(Configuration::default()).unwrap();
            let init = DataChannelInit { negotiated: Some(1), ..DataChannelInit::default() };
            let channel = connection.create_data_channel("pipe", init).unwrap();
            (connection, events, channel)
        };
        let ((one, of_one, first), (other, of_other, second)) = (make(), make());
        let offer = one.set_local_description(None).await.unwrap();
        other.set_remote_description(offer).await.unwrap();
        one.set_remote_description(other.set_local_description(None).await.unwrap()).await.unwrap();
        for (mut events, to) in [(of_one, other.clone()), (of_other, one.clone())] {
            tokio::spawn(async move {
                while let Some(event) = events.recv().await {
                    if let Event::IceCandidate(Some(candidate)) = event {
                        let _ = to.add_ice_candidate(candidate.init).await;
                    }
                }
            });
        }
        first.opened().await.unwrap();
        second.opened().await.unwrap();
        [(one, first), (other, second)]
    }

    fn content(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at * 7 % 251) as u8).collect()
    }

    /// A stream, the end to write its input to, and the one to read its output from.
    fn side() -> (Stream<DuplexStream, DuplexStream>, DuplexStream, DuplexStream) {
        let ((input, write), (output, read)) = (duplex(1 << 16), duplex(1 << 16));
        (Stream::new(input, output), write, read)
    }

    /// Reads all, and tells how much it is so far.
    async fn read_all(mut from: DuplexStream, count: watch::Sender<usize>) -> Vec<u8> {
        let mut all = Vec::new();
        while from.read_buf(&mut all).await.unwrap() > 0 {
            count.send_replace(all.len());
        }
        all
    }

    async fn write_all(mut to: DuplexStream, bytes: Vec<u8>) {
        to.write_all(&bytes).await.unwrap();
    }

    #[tokio::test]
    async fn streams_go_on_over_the_next_channel() {
        let ((mut one, to_one, from_one), (mut other, to_other, from_other)) = (side(), side());
        let (there, back) = (content(8_000_000), content(500_000));
        tokio::spawn(write_all(to_one, there.clone()));
        tokio::spawn(write_all(to_other, back.clone()));
        let (counter, mut count) = watch::channel(0);
        let at_other = tokio::spawn(read_all(from_other, counter));
        let at_one = tokio::spawn(read_all(from_one, watch::channel(0).0));
        let carried = async {
            for breaks_at in [1, 1_000_000, 3_000_000, usize::MAX] {
                let [(connection, first), (other_connection, second)] = channels().await;
                let cut = async {
                    let _ = count.wait_for(|count| *count >= breaks_at).await;
                    if breaks_at < usize::MAX {
                        tokio::join!(connection.close(), other_connection.close());
                    }
                };
                let both = async { tokio::join!(one.carry(&first), other.carry(&second)) };
                let (ends, ()) = tokio::join!(both, cut);
                let wanted = if breaks_at < usize::MAX { Outcome::Broken } else { Outcome::Done };
                assert_eq!(ends, (wanted, wanted), "{breaks_at}");
            }
        };
        timeout(Duration::from_secs(60), carried).await.expect("it ends");
        assert!(at_other.await.unwrap() == there && at_one.await.unwrap() == back);
    }

    #[test]
    fn what_the_other_side_has_is_dropped() {
        let mut sent = Sent::default();
        sent.add(Bytes::from_static(b"abc"));
        sent.add(Bytes::from_static(b"defg"));
        assert!(matches!(sent.step(), Step::Wait), "nothing is sent before the other side has spoken");
        assert!(sent.acknowledge(4));
        assert_eq!((sent.from, sent.kept.len(), sent.kept[0].as_ref()), (4, 1, b"efg".as_slice()));
        assert!(matches!(sent.step(), Step::Send(Message::Binary(bytes)) if bytes == "efg"));
        assert!(matches!(sent.step(), Step::Read));
        assert!(!sent.acknowledge(3) && !sent.acknowledge(8), "it has what it never got");
        sent.has_ended = true;
        assert!(matches!(sent.step(), Step::Send(Message::Text(text)) if text == "end 7"));
        assert!(matches!(sent.step(), Step::Wait));
    }
}
