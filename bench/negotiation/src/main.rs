//! The time and the allocations of an offer and its answer, set on both sides, with 1, 10 and 100
//! sections; and the connections a second of processor time that are set up, used and torn down in
//! memory, cryptography included.
//!
//! `cargo xtask bench negotiation` runs it on one core.

mod pair;

use std::sync::Arc;
use std::time::{Duration, Instant};

use columba_peer::{
    BundlePolicy, Certificate, Configuration, MediaConfiguration, Peer, Track, TrackKind,
    TransceiverDirection, UnixTime,
};
use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng;

use pair::Pair;

pub(crate) const WALL: UnixTime = UnixTime(Duration::from_secs(1_790_000_000));

/// The sections of the descriptions that are measured.
const SECTIONS: [usize; 3] = [1, 10, 100];

/// Exchanges of each size; the fastest counts for the time.
const EXCHANGES: usize = 30;

/// Connections that are set up and torn down.
const CONNECTIONS: usize = 400;

fn main() {
    println!(
        "| sections | exchange µs | µs a section | allocations | allocations a section | bytes of both texts |"
    );
    println!("|---|---|---|---|---|---|");
    for policy in [BundlePolicy::Balanced, BundlePolicy::MaxCompat] {
        for sections in SECTIONS {
            report_exchange(policy, sections);
        }
    }
    report_connections();
}

fn configuration(policy: BundlePolicy) -> Configuration {
    let mut media = MediaConfiguration::default();
    media.offered = TransceiverDirection::RecvOnly;
    let certificate = Certificate::generate(&mut ChaCha12Rng::seed_from_u64(1), WALL);
    Configuration {
        certificates: certificate.into_iter().collect(),
        bundle_policy: policy,
        media: Arc::new(media),
        ..Configuration::default()
    }
}

/// The first negotiation of new connections, audio and video in turn.
fn report_exchange(policy: BundlePolicy, sections: usize) {
    let configuration = configuration(policy);
    let (mut best, mut allocations, mut bytes) = (Duration::MAX, 0, 0);
    for _ in 0..EXCHANGES {
        let now = Instant::now();
        let peer = |seed| Peer::new(configuration.clone(), now, WALL, [seed; 32]).expect("it is valid");
        let (mut one, mut two) = (peer(1), peer(2));
        for number in 0..sections {
            let kind = [TrackKind::Audio, TrackKind::Video][number % 2];
            let track = Track { id: format!("track-{number}"), kind };
            one.add_track(now, track, vec!["stream".to_owned()]).expect("it is new");
        }
        let mut texts = 0;
        let began = Instant::now();
        let counted = allocation_counter::measure(|| {
            let offer = one.set_local_description(now, None).expect("the state is stable");
            texts = offer.sdp.len();
            two.set_remote_description(now, offer).expect("it is ours");
            let answer = two.set_local_description(now, None).expect("there is an offer");
            texts += answer.sdp.len();
            one.set_remote_description(now, answer).expect("it is ours");
        });
        best = best.min(began.elapsed());
        (allocations, bytes) = (counted.count_total, texts);
    }
    let (micros, number) = (best.as_secs_f64() * 1e6, sections as f64);
    println!(
        "| {sections} ({policy:?}) | {micros:.0} | {:.1} | {allocations} | {:.0} | {bytes} |",
        micros / number,
        allocations as f64 / number
    );
}

/// Whole connections of both sides: ICE, DTLS, SCTP, a channel, a message each way, and the close.
fn report_connections() {
    let configuration = configuration(BundlePolicy::Balanced);
    for _ in 0..10 {
        Pair::new(&configuration).run();
    }
    let began = Instant::now();
    for _ in 0..CONNECTIONS {
        Pair::new(&configuration).run();
    }
    let each = began.elapsed() / CONNECTIONS as u32;
    println!();
    println!(
        "connections (both sides, with a channel and a message each way): {:.2} ms, {:.0} a second of one core",
        each.as_secs_f64() * 1e3,
        1.0 / each.as_secs_f64()
    );
}
