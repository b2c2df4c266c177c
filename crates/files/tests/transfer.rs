//! Whole transfers, resumed ones, and senders that lie.
#![allow(missing_docs, reason = "a test")]

use columba_files::{
    CancelCode, Chain, Entry, MAX_ENTRIES, Message, Offer, PIECE, PIECE_HEADER, Piece, Position, Receiving,
    ReceivingFault, Sending, SendingEvent, Step, System, Tree, VERSION, cancel, piece_hash, wait,
};
use proptest::prelude::*;

fn offer(bytes: u64) -> Offer {
    Offer { version: VERSION, transfer: "0123456789abcdef".into(), bytes: Some(bytes), ..Offer::default() }
}

fn accepted(offer: &Offer, at: Option<Position>) -> Receiving {
    let mut receiving = Receiving::new(System::Unix);
    let step = receiving.handle_text(&Message::Offer(offer.clone()).to_text());
    assert_eq!(step, Ok(Some(Step::Offered(offer.clone()))));
    let _ = receiving.accept(at);
    receiving
}

/// A receiver for which the content has begun.
fn started(offer: &Offer) -> Receiving {
    let mut receiving = accepted(offer, None);
    let start = Message::Start { entry: 0, offset: 0 }.to_text();
    assert_eq!(receiving.handle_text(&start), Ok(Some(Step::Started { entry: 0, offset: 0 })));
    receiving
}

fn entry(n: u64, entry: Entry) -> String {
    Message::Entry(Entry { n, ..entry }).to_text()
}

fn piece(entry: u32, offset: u64, content: &[u8]) -> Vec<u8> {
    let hash = piece_hash(offset, content);
    [&Piece::header(entry, offset, &hash)[..], content].concat()
}

/// Carries files from a sender to a receiver, which stops after so many pieces.
fn carry(
    files: &[Vec<u8>],
    at: Option<(Position, Vec<Vec<u8>>)>,
    stop_after: usize,
) -> (Receiving, Vec<Vec<u8>>, bool) {
    let total = files.iter().map(|file| file.len() as u64).sum();
    let offer = offer(total);
    let (position, mut got) = at.unzip();
    let mut receiving = accepted(&offer, position.clone());
    let mut sending = Sending::new(offer);
    sending.handle_text(&Message::Accept { at: position.clone() }.to_text()).unwrap();
    assert_eq!(sending.poll_event(), Some(SendingEvent::Accepted(position.clone())));
    let position = position.unwrap_or_else(|| Receiving::new(System::Unix).position());
    let first = usize::try_from(position.entry).unwrap();
    let got = got.get_or_insert_default();
    let skipped = files[..first].iter().map(|file| file.len() as u64).sum::<u64>() + position.offset;
    receiving
        .handle_text(&sending.start(
            position.entry,
            Chain::from_hash(position.before),
            position.offset,
            skipped,
        ))
        .unwrap();
    receiving.set_bytes(skipped);
    let mut pieces = 0;
    for (n, file) in files.iter().enumerate().skip(first) {
        let offset = if n == first { position.offset } else { 0 };
        let pieces_before = offset / PIECE as u64;
        let stack = if n == first { position.stack.clone() } else { Vec::new() };
        let tree = Tree::resume(pieces_before, stack).unwrap();
        let begin = Entry::file(format!("f{n}"), file.len() as u64);
        let begun = receiving.handle_text(&sending.entry(begin, tree)).unwrap();
        assert!(matches!(begun, Some(Step::Begin { offset: at, .. }) if at == offset), "{begun:?}");
        got.truncate(n);
        got.push(file[..usize::try_from(offset).unwrap()].to_vec());
        for content in file[usize::try_from(offset).unwrap()..].chunks(PIECE) {
            if pieces == stop_after {
                return (receiving, std::mem::take(got), false);
            }
            let mut message = vec![0; PIECE_HEADER];
            message.extend_from_slice(content);
            sending.piece(&mut message);
            let Ok(Step::Write { content, .. }) = receiving.handle_binary(&message) else {
                panic!("refused")
            };
            got[n].extend_from_slice(content);
            pieces += 1;
        }
        assert!(matches!(receiving.handle_text(&sending.end()), Ok(Some(Step::End { .. }))));
    }
    assert_eq!(receiving.handle_text(&sending.done()), Ok(Some(Step::Done)));
    sending.handle_text(&receiving.finished()).unwrap();
    assert_eq!(sending.poll_event(), Some(SendingEvent::Finished));
    (receiving, std::mem::take(got), true)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn files_arrive_however_often_the_transfer_breaks(
        lengths in prop::collection::vec(prop_oneof![Just(0), 1..100_usize, Just(PIECE), PIECE..6 * PIECE], 1..4),
        breaks in prop::collection::vec(0..7_usize, 0..4),
    ) {
        let files: Vec<Vec<u8>> = lengths
            .iter()
            .enumerate()
            .map(|(n, length)| (0..*length).map(|at| (at * 31 + n) as u8).collect())
            .collect();
        let mut at = None;
        for stop in breaks.into_iter().chain([usize::MAX]) {
            let (receiving, got, is_done) = carry(&files, at, stop);
            if is_done {
                prop_assert_eq!(got, files);
                return Ok(());
            }
            at = Some((receiving.position(), got));
        }
    }

    #[test]
    fn no_message_is_fatal(texts in prop::collection::vec("[ -~]{0,60}", 0..5), bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let mut receiving = started(&offer(100));
        let mut sending = Sending::new(offer(100));
        for text in &texts {
            let _ = receiving.handle_text(text);
            let _ = sending.handle_text(text);
        }
        let _ = receiving.handle_binary(&bytes);
    }
}

#[test]
fn more_than_was_offered_is_refused() {
    let mut receiving = started(&Offer { entries: Some(1), ..offer(10) });
    receiving.handle_text(&entry(0, Entry::file("a", 5))).unwrap();
    assert_eq!(receiving.handle_binary(&piece(0, 0, &[1; 6])), Err(ReceivingFault::MoreThanOffered));

    let mut receiving = started(&offer(10));
    receiving.handle_text(&entry(0, Entry::file("a", 11))).unwrap();
    assert_eq!(receiving.handle_binary(&piece(0, 0, &[1; 11])), Err(ReceivingFault::MoreThanOffered));

    let mut receiving = started(&Offer { entries: Some(1), ..offer(0) });
    receiving.handle_text(&entry(0, Entry::folder("a"))).unwrap();
    assert_eq!(receiving.handle_text(&entry(1, Entry::folder("b"))), Err(ReceivingFault::MoreThanOffered));
}

#[test]
fn ten_million_entries_are_refused_before_any_comes() {
    let mut receiving = Receiving::new(System::Unix);
    let many = Offer { entries: Some(10_000_000), ..offer(1) };
    let refused = receiving.handle_text(&Message::Offer(many).to_text());
    assert!(matches!(refused, Err(ReceivingFault::Offer(_))), "{refused:?}");

    // One that does not say how many.
    let mut receiving = started(&offer(0));
    let mut n = 0;
    let refused = loop {
        match receiving.handle_text(&entry(n, Entry::folder("a"))) {
            Ok(_) => n += 1,
            Err(fault) => break fault,
        }
    };
    assert_eq!((n, refused), (MAX_ENTRIES, ReceivingFault::MoreThanOffered));
}

#[test]
fn lies_about_content_are_found() {
    let mut receiving = started(&offer(10));
    receiving.handle_text(&entry(0, Entry::file("a", 10))).unwrap();
    let mut damaged = piece(0, 0, &[1; 10]);
    damaged[PIECE_HEADER] ^= 1;
    assert_eq!(receiving.handle_binary(&damaged), Err(ReceivingFault::Damaged));

    let mut receiving = started(&offer(10));
    receiving.handle_text(&entry(0, Entry::file("a", 10))).unwrap();
    receiving.handle_binary(&piece(0, 0, &[1; 10])).unwrap();
    let end = Message::End { n: 0, bytes: 10, hash: [7; 32] }.to_text();
    assert_eq!(receiving.handle_text(&end), Err(ReceivingFault::WrongHash));

    let mut receiving = started(&offer(10));
    receiving.handle_text(&entry(0, Entry::file("a", 10))).unwrap();
    receiving.handle_binary(&piece(0, 0, &[1; 5])).unwrap();
    let hash = *blake3::hash(&[1; 5]).as_bytes();
    let end = Message::End { n: 0, bytes: 5, hash }.to_text();
    assert_eq!(receiving.handle_text(&end), Err(ReceivingFault::OutOfOrder("an end")));
    // A piece for a place that is not the next.
    let mut receiving = started(&offer(1 << 30));
    receiving.handle_text(&entry(0, Entry::file("a", 1 << 30))).unwrap();
    let later = piece(0, PIECE as u64, &[1; 5]);
    assert_eq!(receiving.handle_binary(&later), Err(ReceivingFault::OutOfOrder("a piece")));
}

#[test]
fn paths_that_lead_elsewhere_are_refused() {
    for path in ["../x", "/etc/x", "a/../../x", "", "a//b", "a\0", &"x".repeat(1 << 16)] {
        let mut receiving = started(&offer(0));
        let refused = receiving.handle_text(&entry(0, Entry::folder(path)));
        assert!(matches!(refused, Err(ReceivingFault::Path { .. })), "{path:.20}: {refused:?}");
    }
    let mut receiving = started(&offer(0));
    let long = receiving.handle_text(&entry(0, Entry::folder("x".repeat(1 << 20))));
    assert!(matches!(long, Err(ReceivingFault::Unreadable(_))));
    // Devices of Windows become files.
    let mut receiving = started(&offer(0));
    let step = receiving.handle_text(&entry(0, Entry::folder("NUL")));
    let Ok(Some(Step::Begin { names, .. })) = step else { panic!("{step:?}") };
    assert_eq!(names, ["NUL"]);
}

#[test]
fn entries_that_contradict_themselves_are_refused() {
    let file = |change: fn(&mut Entry)| {
        let mut entry = Entry::file("a", 10);
        change(&mut entry);
        entry
    };
    for broken in [
        file(|entry| entry.target = Some("b".into())),
        file(|entry| entry.bytes = Some(u64::MAX)),
        file(|entry| entry.size = Some(10)),
        file(|entry| (entry.size, entry.extents) = (Some(100), Some(vec![(0, 5), (3, 5)]))),
        file(|entry| (entry.size, entry.extents) = (Some(100), Some(vec![(0, 5)]))),
        file(|entry| (entry.size, entry.extents) = (Some(100), Some(vec![(95, 10)]))),
        file(|entry| (entry.size, entry.extents) = (Some(100), Some(vec![(u64::MAX, 10)]))),
        Entry { bytes: Some(1), ..Entry::folder("a") },
        Entry { target: None, ..Entry::link("a", "b") },
    ] {
        let mut receiving = started(&offer(10));
        let refused = receiving.handle_text(&entry(0, broken.clone()));
        assert!(matches!(refused, Err(ReceivingFault::Entry { .. })), "{broken:?}: {refused:?}");
    }
}

#[test]
fn messages_out_of_order_end_the_transfer() {
    let all = [
        Message::Offer(offer(1)),
        Message::Wait,
        Message::Accept { at: None },
        Message::Finished,
        Message::Have { entry: 0, offset: 0, bytes: 0 },
        Message::End { n: 0, bytes: 0, hash: [0; 32] },
        Message::Done { entries: 1, bytes: 0 },
    ];
    for message in &all {
        assert!(started(&offer(1)).handle_text(&message.to_text()).is_err(), "{message:?}");
    }
    for message in &all[3..] {
        assert!(Sending::new(offer(1)).handle_text(&message.to_text()).is_err(), "{message:?}");
    }
    let mut sending = Sending::new(offer(1));
    sending.handle_text(&cancel(CancelCode::Declined, "no")).unwrap();
    let cancelled = SendingEvent::Cancelled { code: CancelCode::Declined, text: "no".into() };
    assert_eq!(sending.poll_event(), Some(cancelled));
}

#[test]
fn a_receiver_whose_turn_has_not_come_waits() {
    let waiting = || {
        let mut receiving = Receiving::new(System::Unix);
        assert_eq!(receiving.handle_text(&wait()), Ok(Some(Step::Waiting)));
        receiving
    };
    let (mut receiving, mut other) = (waiting(), waiting());
    assert_eq!(receiving.handle_text(&Sending::new(offer(1)).offer()), Ok(Some(Step::Offered(offer(1)))));
    let taken = Step::Cancelled { code: CancelCode::Taken, text: String::new() };
    assert_eq!(other.handle_text(&cancel(CancelCode::Taken, "")), Ok(Some(taken)));
}

#[test]
fn another_version_is_named() {
    let mut receiving = Receiving::new(System::Unix);
    let refused = receiving.handle_text(&Message::Offer(Offer { version: 2, ..offer(1) }).to_text());
    assert_eq!(refused, Err(ReceivingFault::Version(2)));
}

#[test]
fn a_sender_does_not_run_ahead_of_a_slow_receiver() {
    let mut sending = Sending::new(offer(1 << 40));
    sending.handle_text(&Message::Accept { at: None }.to_text()).unwrap();
    let _ = sending.start(0, Chain::EMPTY, 0, 0);
    let _ = sending.entry(Entry::file("a", 1 << 40), Tree::default());
    let mut message = vec![0; PIECE_HEADER + PIECE];
    let mut pieces = 0;
    while sending.may_send() {
        sending.piece(&mut message);
        pieces += 1;
    }
    assert_eq!(pieces * PIECE as u64, columba_files::WINDOW);
    sending.handle_text(&Message::Have { entry: 0, offset: 1 << 20, bytes: 1 << 20 }.to_text()).unwrap();
    assert!(sending.may_send());
}
