//! Messages sent and received on a channel, and the digests of both.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use columba::{DataChannel, Message};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::report;

/// Messages to be sent.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Order {
    /// `count` binary messages of `size` bytes.
    Bytes { count: u32, size: usize },
    /// One text message.
    Text { text: String },
}

/// Messages on a channel up to which the digest of each is reported; above, only the digest of all.
const LISTED: usize = 500;

/// The protocol of channels whose messages are counted without digests, which would dominate what
/// is measured.
const COUNTED: &str = "counted";

/// Bytes of the longest message.
const LONGEST: usize = 4 << 20;

/// The bytes of messages, which begin at different places of it. The first four bytes of a message
/// are its number instead.
static PATTERN: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut state: u32 = 1;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(LONGEST + (1 << 16)).collect()
});

/// Bytes received on all channels.
static RECEIVED: AtomicU64 = AtomicU64::new(0);

/// The messages of a channel, in the order in which they were sent or received.
#[derive(Default)]
struct Tally {
    messages: u64,
    bytes: u64,
    /// The digests of all messages in one, whatever their order.
    digest: [u8; 32],
    /// The first bytes of the digest of each.
    each: Vec<String>,
    last: Option<u32>,
    /// No message overtook another one.
    is_ordered: bool,
    /// There are no digests.
    is_counted: bool,
}

impl Tally {
    fn of(channel: &DataChannel) -> Self {
        Self { is_ordered: true, is_counted: channel.protocol() == COUNTED, ..Self::default() }
    }

    fn take(&mut self, message: &[u8]) {
        self.messages += 1;
        self.bytes += message.len() as u64;
        if let Some(number) = message.first_chunk().map(|bytes| u32::from_be_bytes(*bytes)) {
            self.is_ordered &= self.last.is_none_or(|last| last < number);
            self.last = Some(number);
        }
        if self.is_counted {
            return;
        }
        let digest = digest(&SHA256, message);
        for (all, own) in self.digest.iter_mut().zip(digest.as_ref()) {
            *all ^= own;
        }
        if self.each.len() <= LISTED {
            self.each.push(hexadecimal(&digest.as_ref()[..8]));
        }
    }

    fn report(&self, event: &str, label: &str) -> Value {
        let Self { messages, bytes, digest, each, is_ordered, .. } = self;
        let each = (each.len() <= LISTED).then_some(each);
        json!({
            "event": event, "label": label, "messages": messages, "bytes": bytes,
            "digest": hexadecimal(digest), "ordered": is_ordered, "each": each,
        })
    }
}

/// Sends what is ordered, one order after the other.
pub(super) async fn send(channel: DataChannel, mut orders: mpsc::Receiver<Order>) {
    let mut tally = Tally::of(&channel);
    let mut number = 0;
    while let Some(order) = orders.recv().await {
        let sent = match order {
            Order::Bytes { count, size } => send_bytes(&channel, &mut tally, &mut number, count, size).await,
            Order::Text { text } => channel.send(text).await,
        };
        match sent {
            Ok(()) => report(&tally.report("sent", channel.label())),
            Err(error) => {
                report(&json!({ "event": "unsent", "label": channel.label(), "message": error.to_string() }));
            }
        }
    }
}

async fn send_bytes(
    channel: &DataChannel,
    tally: &mut Tally,
    number: &mut u32,
    count: u32,
    size: usize,
) -> Result<(), columba::Error> {
    for _ in 0..count {
        let start = (*number as usize * 257) % (1 << 16);
        let mut message = PATTERN[start..start + size.min(LONGEST)].to_vec();
        if let Some(head) = message.first_chunk_mut() {
            *head = number.to_be_bytes();
        }
        *number += 1;
        tally.take(&message);
        channel.send(Message::Binary(message.into())).await?;
    }
    Ok(())
}

/// The messages received on a channel.
pub(super) struct Inbox {
    label: String,
    received: Mutex<(Tally, Option<u64>)>,
}

impl Inbox {
    pub(super) fn new(channel: &DataChannel) -> Self {
        Self { label: channel.label().to_owned(), received: Mutex::new((Tally::of(channel), None)) }
    }

    /// Reports the messages, as soon as there are so many.
    pub(super) fn expect(&self, messages: u64) {
        self.change(|_, expected| *expected = Some(messages));
    }

    fn change(&self, change: impl FnOnce(&mut Tally, &mut Option<u64>)) {
        let mut received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        let (tally, expected) = &mut *received;
        change(tally, expected);
        if expected.take_if(|expected| *expected <= tally.messages).is_some() {
            report(&tally.report("received", &self.label));
        }
    }
}

/// Reports a channel's opening, its messages, and its end.
pub(super) async fn receive(channel: DataChannel, inbox: std::sync::Arc<Inbox>) {
    let label = channel.label();
    if channel.opened().await.is_ok() {
        report(&json!({
            "event": "open", "label": label, "id": channel.id(), "ordered": channel.ordered(),
            "maxPacketLifeTime": channel.max_packet_life_time(), "maxRetransmits": channel.max_retransmits(),
            "protocol": channel.protocol(), "negotiated": channel.negotiated(),
            "priority": format!("{:?}", channel.priority()),
        }));
    }
    while let Some(message) = channel.recv().await {
        match message {
            Message::Binary(bytes) => {
                RECEIVED.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                inbox.change(|tally, _| tally.take(&bytes));
            }
            Message::Text(text) => {
                let before = RECEIVED.load(Ordering::Relaxed);
                report(&json!({ "event": "message", "label": label, "text": text, "before": before }));
            }
        }
    }
    let error = channel.closed().await.err().map(|error| error.to_string());
    report(&json!({ "event": "closed", "label": label, "error": error }));
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        _ = write!(text, "{byte:02x}");
        text
    })
}
