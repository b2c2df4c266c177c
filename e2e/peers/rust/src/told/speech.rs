//! What is said on a channel, and what comes, with digests of both.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use columba::{DataChannel, Message};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::tell;

/// What is to be said.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Order {
    /// So many binary messages of so many bytes.
    Bytes { count: u32, size: usize },
    /// One message of text.
    Text { text: String },
}

/// Messages whose own digests are told, too: from more of them on a channel than this, only the digest of all is.
const LISTED: usize = 500;

/// The protocol of channels whose messages are counted without a digest, which would be what is measured.
const COUNTED: &str = "counted";

/// The longest message that is ever sent.
const LONGEST: usize = 4 << 20;

/// Messages begin at different places of it. A message of four bytes or more begins with its number instead.
static PATTERN: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut state: u32 = 1;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(LONGEST + (1 << 16)).collect()
});

/// Bytes that have come on all channels.
static HEARD: AtomicU64 = AtomicU64::new(0);

/// Messages in the order in which they were sent or came.
#[derive(Default)]
struct Tally {
    messages: u64,
    bytes: u64,
    /// The digests of all messages in one, whatever their order.
    digest: [u8; 32],
    /// The number of each, with the first bytes of its digest.
    each: Vec<String>,
    last: Option<u32>,
    /// None came before one that was sent earlier.
    is_ordered: bool,
    /// Whether there are no digests.
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

    fn told(&self, event: &str, label: &str) -> Value {
        let Self { messages, bytes, digest, each, is_ordered, .. } = self;
        let each = (each.len() <= LISTED).then_some(each);
        json!({
            "event": event, "label": label, "messages": messages, "bytes": bytes,
            "digest": hexadecimal(digest), "ordered": is_ordered, "each": each,
        })
    }
}

/// Says what is ordered, one after the other.
pub(super) async fn speak(channel: DataChannel, mut orders: mpsc::Receiver<Order>) {
    let mut tally = Tally::of(&channel);
    let mut number = 0;
    while let Some(order) = orders.recv().await {
        let said = match order {
            Order::Bytes { count, size } => say_bytes(&channel, &mut tally, &mut number, count, size).await,
            Order::Text { text } => channel.send(text).await,
        };
        match said {
            Ok(()) => tell(&tally.told("sent", channel.label())),
            Err(error) => {
                tell(&json!({ "event": "unsent", "label": channel.label(), "message": error.to_string() }));
            }
        }
    }
}

async fn say_bytes(
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

/// What came on a channel.
pub(super) struct Inbox {
    label: String,
    heard: Mutex<(Tally, Option<u64>)>,
}

impl Inbox {
    pub(super) fn new(channel: &DataChannel) -> Self {
        Self { label: channel.label().to_owned(), heard: Mutex::new((Tally::of(channel), None)) }
    }

    /// Tells what came, as soon as it is so much.
    pub(super) fn expect(&self, messages: u64) {
        self.change(|_, expected| *expected = Some(messages));
    }

    fn change(&self, change: impl FnOnce(&mut Tally, &mut Option<u64>)) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let (tally, expected) = &mut *heard;
        change(tally, expected);
        if expected.take_if(|expected| *expected <= tally.messages).is_some() {
            tell(&tally.told("received", &self.label));
        }
    }
}

/// Tells of a channel's opening, of what comes, and of its end.
pub(super) async fn listen(channel: DataChannel, inbox: std::sync::Arc<Inbox>) {
    let label = channel.label();
    if channel.opened().await.is_ok() {
        tell(&json!({
            "event": "open", "label": label, "id": channel.id(), "ordered": channel.ordered(),
            "maxPacketLifeTime": channel.max_packet_life_time(), "maxRetransmits": channel.max_retransmits(),
            "protocol": channel.protocol(), "negotiated": channel.negotiated(),
            "priority": format!("{:?}", channel.priority()),
        }));
    }
    while let Some(message) = channel.recv().await {
        match message {
            Message::Binary(bytes) => {
                HEARD.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                inbox.change(|tally, _| tally.take(&bytes));
            }
            Message::Text(text) => {
                let before = HEARD.load(Ordering::Relaxed);
                tell(&json!({ "event": "said", "label": label, "text": text, "before": before }));
            }
        }
    }
    let error = channel.closed().await.err().map(|error| error.to_string());
    tell(&json!({ "event": "closed", "label": label, "error": error }));
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        _ = write!(text, "{byte:02x}");
        text
    })
}
