//! The STUN targets. The crate's ordinary tests include this file, too,
//! and run it over the corpus, so that it is compiled and exercised without a fuzzer.
#![allow(dead_code, reason = "each target uses one of the bodies")]

use columba_stun::attributes::*;
use columba_stun::stream::{Frame, MAX_FRAME_LEN, Reader};
use columba_stun::{
    AttributeType, ChannelData, ChannelNumber, IntegrityKey, Message, MessageBuilder, SecurityFeatures,
    is_channel_data, is_classic_binding_request, is_stun,
};

/// Reads a datagram: no input panics, and a message that was read can be written again.
pub(crate) fn message(data: &[u8]) {
    if let Ok(channel_data) = ChannelData::parse(data) {
        assert!(is_channel_data(data));
        let header =
            ChannelData::header(channel_data.channel, channel_data.data.len()).expect("it fitted before");
        assert_eq!(header, data[..4]);
    }

    if let Ok(request) = Message::parse_classic(data) {
        assert!(is_classic_binding_request(data) && !is_stun(data) && Message::parse(data).is_err());
        read_everything(&request);
        let mut buffer = [0; 32];
        MessageBuilder::success(&mut buffer, &request).expect("room for a header");
        assert_eq!(buffer[4..20], data[4..20]);
    }

    let Ok(message) = Message::parse(data) else { return };
    assert!(is_stun(data));
    let mut last = 0;
    for attribute in message.attributes() {
        assert!(attribute.offset > last && attribute.offset % 4 == 0);
        last = attribute.offset;
    }

    read_everything(&message);
    rebuild(&message);
    verify(&message);
}

/// Reads a stream in pieces of the size that the first byte gives: the frames are the same as those
/// of the whole.
pub(crate) fn stream(data: &[u8]) {
    let Some((&piece, data)) = data.split_first() else { return };
    let whole = frames(data.chunks(data.len().max(1)));
    let pieces = frames(data.chunks(usize::from(piece) + 1));
    assert_eq!(whole, pieces);
}

fn frames<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Vec<u8>>, bool) {
    let mut reader = Reader::new();
    let mut frames = Vec::new();
    for mut piece in pieces {
        while !piece.is_empty() {
            let taken = reader.feed(piece);
            assert!(taken > 0);
            assert!(reader.pending() <= MAX_FRAME_LEN);
            piece = &piece[taken..];
            loop {
                match reader.next_frame() {
                    Ok(Some(Frame::Message(frame))) => {
                        assert!(is_stun(frame));
                        frames.push(frame.to_vec());
                    }
                    Ok(Some(Frame::ChannelData(frame))) => {
                        assert!(ChannelData::parse(frame).is_ok());
                        frames.push(frame.to_vec());
                    }
                    Ok(None) => break,
                    Err(_) => return (frames, false),
                }
            }
        }
    }
    (frames, true)
}

/// Decodes every type of attribute; what decodes must encode to something that decodes to the same.
fn read_everything(message: &Message<'_>) {
    macro_rules! round_trip {
        ($($attribute:ty),* $(,)?) => {$(
            assert!(message.all::<$attribute>().count() <= message.as_bytes().len() / 4);
            if let Ok(Some(attribute)) = message.get::<$attribute>() {
                let mut buffer = vec![0; message.as_bytes().len() + 64];
                let mut builder =
                    MessageBuilder::new(&mut buffer, message.class(), message.method(), message.transaction_id())
                        .expect("room for a header");
                // Lengths between what is accepted and what is sent are refused here.
                if builder.push(&attribute).is_ok() {
                    let copy = Message::parse(builder.as_bytes()).expect("what was built");
                    assert_eq!(copy.get::<$attribute>(), Ok(Some(attribute)));
                }
            }
        )*};
    }
    round_trip!(
        AdditionalAddressFamily,
        AddressErrorInfo<'_>,
        AlternateDomain<'_>,
        AlternateServer,
        ChangeRequest,
        ChannelNumber,
        ConnectionId,
        Data<'_>,
        DontFragment,
        ErrorInfo<'_>,
        EvenPort,
        IceControlled,
        IceControlling,
        Icmp,
        Lifetime,
        MappedAddress,
        MobilityTicket<'_>,
        Nonce<'_>,
        OtherAddress,
        Padding<'_>,
        PasswordAlgorithm<'_>,
        PasswordAlgorithms<'_>,
        Priority,
        Realm<'_>,
        RequestedAddressFamily,
        RequestedTransport,
        ReservationToken,
        ResponseOrigin,
        ResponsePort,
        Software<'_>,
        UnknownAttributes,
        UseCandidate,
        UserHash,
        Username<'_>,
        XorMappedAddress,
        XorPeerAddress,
        XorRelayedAddress,
    );

    if let Ok(Some(algorithms)) = message.get::<PasswordAlgorithms<'_>>() {
        assert!(algorithms.iter().count() <= message.as_bytes().len() / 4);
    }
    assert!(
        message.mapped_address().is_some()
            || !message.has(AttributeType::XOR_MAPPED_ADDRESS)
            || message.get::<XorMappedAddress>().is_err()
    );
    if let Ok(Some(Nonce(nonce))) = message.get()
        && let Some(features) = SecurityFeatures::of_nonce(nonce)
    {
        assert!(nonce.starts_with(features.nonce_prefix().as_str().as_bytes()));
    }
    assert!(message.unknown_comprehension_required(&[]).types().len() <= UnknownAttributes::CAPACITY);
}

/// Copies all attributes but the closing ones: the copy must read the same.
fn rebuild(message: &Message<'_>) {
    let open = |ty| {
        ty != AttributeType::MESSAGE_INTEGRITY
            && ty != AttributeType::MESSAGE_INTEGRITY_SHA256
            && ty != AttributeType::FINGERPRINT
    };
    let key = IntegrityKey::short_term("fuzz");
    let mut buffer = vec![0; message.as_bytes().len() + 128];
    let mut builder =
        MessageBuilder::new(&mut buffer, message.class(), message.method(), message.transaction_id())
            .expect("room for a header");
    let originals = || message.attributes().filter(|attribute| open(attribute.ty));
    for attribute in originals() {
        builder.push_raw(attribute.ty, attribute.value).expect("it was in a message already");
    }
    // There may be no room under the length field's limit; then the message stays as it is.
    let closed = builder.integrity(&key).and_then(|builder| builder.fingerprint()).is_ok();
    let copy = Message::parse(builder.as_bytes()).expect("what was built");
    assert_eq!((copy.class(), copy.method()), (message.class(), message.method()));
    assert_eq!(copy.transaction_id(), message.transaction_id());
    let copied = copy.attributes().filter(|attribute| open(attribute.ty));
    assert!(copied.map(|a| (a.ty, a.value)).eq(originals().map(|a| (a.ty, a.value))));
    if closed {
        assert_eq!(copy.verify_integrity(&key), Ok(()));
        assert_eq!(copy.verify_fingerprint(), Ok(()));
    }
}

fn verify(message: &Message<'_>) {
    let key = IntegrityKey::short_term("VOkJxbRl1RmTxUk/WvJxBt");
    let verified = message.verify_any_integrity(&key).is_ok();
    assert!(!verified || message.has_integrity());
    let _ = message.verify_integrity(&key);
    let _ = message.verify_integrity_sha256(&key);
    let _ = message.verify_fingerprint();
}
