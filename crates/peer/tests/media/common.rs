//! Two peer connections whose descriptions are exchanged by hand: no datagram flows.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use columba_peer::{
    BundlePolicy, Certificate, Configuration, Error, Event, MediaConfiguration, Peer, RtpCodec,
    RtpCodecCapability, SessionDescription, TrackKind, TransceiverDirection, TransceiverId, TransceiverInfo,
    TransceiverInit, UnixTime,
};
use columba_sdp::attributes::Direction;
use columba_sdp::{MediaSection, SessionDescription as Sdp};

const WALL: UnixTime = UnixTime(Duration::from_secs(1_790_000_000));

/// The time of all calls: nothing here waits.
pub(crate) static NOW: LazyLock<Instant> = LazyLock::new(start);

static CERTIFICATE: LazyLock<Certificate> = LazyLock::new(|| {
    use rand_core::SeedableRng;
    Certificate::generate(&mut rand_chacha::ChaCha12Rng::from_seed([7; 32]), WALL).unwrap()
});

#[expect(clippy::disallowed_methods, reason = "an Instant cannot be made otherwise; tests add to it")]
fn start() -> Instant {
    Instant::now()
}

/// One side of a negotiation.
pub(crate) struct Side {
    pub(crate) peer: Peer,
    /// Events that have not been looked at.
    unread: Vec<Event>,
}

impl Side {
    /// A side that takes all media that is offered, as browsers do.
    pub(crate) fn new(seed: u8) -> Self {
        Self::configured(seed, |media| media.offered = TransceiverDirection::RecvOnly)
    }

    /// A side with another configuration of media.
    pub(crate) fn configured(seed: u8, change: impl FnOnce(&mut MediaConfiguration)) -> Self {
        let mut media = MediaConfiguration::default();
        change(&mut media);
        let configuration = Configuration {
            certificates: vec![CERTIFICATE.clone()],
            media: Arc::new(media),
            ..Configuration::default()
        };
        Self { peer: Peer::new(configuration, *NOW, WALL, [seed; 32]).unwrap(), unread: Vec::new() }
    }

    /// A side that takes all media, with another bundle policy.
    pub(crate) fn with_policy(seed: u8, bundle_policy: BundlePolicy) -> Self {
        let mut media = MediaConfiguration::default();
        media.offered = TransceiverDirection::RecvOnly;
        let configuration = Configuration {
            certificates: vec![CERTIFICATE.clone()],
            media: Arc::new(media),
            bundle_policy,
            ..Configuration::default()
        };
        Self { peer: Peer::new(configuration, *NOW, WALL, [seed; 32]).unwrap(), unread: Vec::new() }
    }

    pub(crate) fn add(&mut self, kind: TrackKind, direction: TransceiverDirection) -> TransceiverId {
        self.peer.add_transceiver(*NOW, kind, TransceiverInit::new(direction)).unwrap()
    }

    /// Sets the local description that fits the state.
    pub(crate) fn describe(&mut self) -> SessionDescription {
        self.forget_negotiation_needed();
        self.peer.set_local_description(*NOW, None).unwrap()
    }

    pub(crate) fn take(&mut self, description: SessionDescription) {
        self.forget_negotiation_needed();
        self.peer.set_remote_description(*NOW, description).unwrap();
    }

    pub(crate) fn try_take(&mut self, description: SessionDescription) -> Result<(), Error> {
        self.peer.set_remote_description(*NOW, description)
    }

    pub(crate) fn info(&self, id: TransceiverId) -> TransceiverInfo {
        self.peer.transceiver(id).unwrap()
    }

    /// Returns the direction that was negotiated for each transceiver.
    pub(crate) fn current(&self) -> Vec<Option<TransceiverDirection>> {
        self.peer.transceivers().iter().map(|one| one.current_direction).collect()
    }

    /// Returns the events about tracks that have come since.
    pub(crate) fn track_events(&mut self) -> Vec<Event> {
        self.events()
            .into_iter()
            .filter(|event| {
                matches!(
                    event,
                    Event::Track { .. }
                        | Event::TrackMuted(..)
                        | Event::TrackRemoved(..)
                        | Event::TrackEnded(..)
                )
            })
            .collect()
    }

    pub(crate) fn events(&mut self) -> Vec<Event> {
        let mut events = std::mem::take(&mut self.unread);
        events.extend(std::iter::from_fn(|| self.peer.poll_event()));
        events
    }

    /// A description that is set answers every wish for one that was announced before.
    fn forget_negotiation_needed(&mut self) {
        self.unread = self.events();
        self.unread.retain(|event| *event != Event::NegotiationNeeded);
    }

    /// Returns true if a negotiation is wanted, and forgets all other events.
    pub(crate) fn wants_negotiation(&mut self) -> bool {
        self.events().contains(&Event::NegotiationNeeded)
    }
}

/// Lets `from` offer and `to` answer. Returns both texts.
pub(crate) fn negotiate(from: &mut Side, to: &mut Side) -> (Sdp, Sdp) {
    let offer = from.describe();
    to.take(offer.clone());
    let answer = to.describe();
    from.take(answer.clone());
    (parse(&offer), parse(&answer))
}

pub(crate) fn parse(description: &SessionDescription) -> Sdp {
    description.sdp.parse().unwrap()
}

pub(crate) fn direction(section: &MediaSection) -> Option<Direction> {
    section.lines.get().unwrap()
}

/// Returns names of codecs with their payload types.
pub(crate) fn names(section: &MediaSection) -> Vec<(u8, String)> {
    let codecs = section.codecs().unwrap();
    codecs.into_iter().map(|codec| (codec.payload_type(), codec.map.encoding)).collect()
}

/// Codecs without feedback, by MIME type and clock rate.
pub(crate) fn codecs<const N: usize>(list: [(&str, u32); N]) -> Vec<RtpCodecCapability> {
    list.map(|(mime_type, rate)| RtpCodecCapability::new(RtpCodec::new(mime_type, rate))).to_vec()
}

pub(crate) fn recorded(name: &str) -> String {
    let path = format!("{}/../sdp/tests/data/{name}.sdp", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

/// Wraps sections in what a description needs besides: each `m=` line is followed by a transport.
pub(crate) fn offer_of(sections: &str, mids: &[&str]) -> SessionDescription {
    let transport = "c=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n\
        a=fingerprint:sha-256 5C:43:EE:90:28:F3:65:F2:63:23:9C:C0:3C:D0:92:75:0A:3B:1C:7D:98:1E:0C:4D:AF:11:AA:DB:6E:6A:14:0F\r\n\
        a=setup:actpass\r\na=rtcp-mux\r\n";
    let mut text =
        format!("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {}\r\n", mids.join(" "));
    let mut index = 0;
    for line in sections.lines().map(str::trim).filter(|line| !line.is_empty()) {
        text += &format!("{line}\r\n");
        if line.starts_with("m=") {
            text += &format!("{transport}a=mid:{}\r\n", mids[index]);
            index += 1;
        }
    }
    SessionDescription::offer(text)
}
