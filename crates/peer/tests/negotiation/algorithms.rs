//! The algorithms of webrtc-pc with wrong states and wrong arguments: the classes of their errors,
//! in the order of their steps. See docs/webrtc-pc.md.

use columba_peer::{
    BundlePolicy, Configuration, DataChannelInit, DtlsTransportState, Error, ErrorKind, Event,
    IceCandidateInit, IceConnectionState, IceServer, OfferOptions, RtcErrorDetail, RtpCodec,
    RtpEncodingParameters, SdpType, SessionDescription, SignalingState, Track, TrackKind,
    TransceiverDirection, TransceiverInit,
};

use crate::world::{ALICE, BOB, World};

fn of_kind(kind: SdpType, sdp: &str) -> SessionDescription {
    SessionDescription { kind, sdp: sdp.to_owned() }
}

/// The class of a refusal; `None` for success.
fn class<T>(result: Result<T, Error>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

/// A world in which Alice, who has audio, is in this signaling state.
fn in_state(state: SignalingState) -> World {
    use SignalingState as State;
    let mut world = World::agreed();
    let kind = |kind, description| SessionDescription { kind, ..description };
    match state {
        State::Stable => {}
        State::HaveLocalOffer | State::HaveRemotePrAnswer => {
            let offer = world.describe(ALICE);
            world.set(BOB, offer);
            if state == State::HaveRemotePrAnswer {
                let answer = world.peers[BOB].create_answer(world.now).unwrap();
                world.set(ALICE, kind(SdpType::PrAnswer, answer));
            }
        }
        State::HaveRemoteOffer | State::HaveLocalPrAnswer => {
            let offer = world.describe(BOB);
            world.set(ALICE, offer);
            if state == State::HaveLocalPrAnswer {
                let answer = of_kind(SdpType::PrAnswer, "");
                world.peers[ALICE].set_local_description(world.now, Some(answer)).unwrap();
            }
        }
        State::Closed => world.peers[ALICE].close(world.now),
    }
    assert_eq!(world.peers[ALICE].signaling_state(), state);
    world
}

const STATES: [SignalingState; 6] = [
    SignalingState::Stable,
    SignalingState::HaveLocalOffer,
    SignalingState::HaveRemoteOffer,
    SignalingState::HaveLocalPrAnswer,
    SignalingState::HaveRemotePrAnswer,
    SignalingState::Closed,
];

/// The signaling states in which a call succeeds; in all others it is an `InvalidStateError`, and
/// the state stays.
#[test]
fn calls_that_do_not_fit_the_signaling_state_are_refused() {
    use SdpType as Type;
    use SignalingState::{HaveLocalOffer, HaveLocalPrAnswer, HaveRemoteOffer, HaveRemotePrAnswer, Stable};
    let answered = in_state(HaveRemoteOffer);
    let offer = answered.peers[ALICE].remote_description().unwrap().sdp;
    type Call<'a> = Box<dyn Fn(&mut World) -> Result<(), Error> + 'a>;
    let local = |kind| -> Call<'_> {
        Box::new(move |world| {
            let description = Some(of_kind(kind, ""));
            world.peers[ALICE].set_local_description(world.now, description).map(drop)
        })
    };
    let remote = |kind| -> Call<'_> {
        let offer = &offer;
        Box::new(move |world: &mut World| {
            // What another side of this state would say.
            let sdp = match world.peers[BOB].signaling_state() {
                _ if kind == Type::Offer => offer.clone(),
                HaveRemoteOffer => world.peers[BOB].create_answer(world.now).unwrap().sdp,
                _ => offer.clone(),
            };
            world.peers[ALICE].set_remote_description(world.now, of_kind(kind, &sdp))
        })
    };
    let create_offer: Call<'_> =
        Box::new(|world| world.peers[ALICE].create_offer(world.now, OfferOptions::default()).map(drop));
    let create_answer: Call<'_> = Box::new(|world| world.peers[ALICE].create_answer(world.now).map(drop));
    let calls: [(&str, Call<'_>, &[SignalingState]); 10] = [
        ("createOffer", create_offer, &[Stable, HaveLocalOffer]),
        ("createAnswer", create_answer, &[HaveRemoteOffer, HaveLocalPrAnswer]),
        ("local offer", local(Type::Offer), &[Stable, HaveLocalOffer]),
        ("local answer", local(Type::Answer), &[HaveRemoteOffer, HaveLocalPrAnswer]),
        ("local pranswer", local(Type::PrAnswer), &[HaveRemoteOffer, HaveLocalPrAnswer]),
        ("local rollback", local(Type::Rollback), &[HaveLocalOffer]),
        ("remote offer", remote(Type::Offer), &[Stable, HaveLocalOffer, HaveRemoteOffer]),
        ("remote answer", remote(Type::Answer), &[HaveLocalOffer, HaveRemotePrAnswer]),
        ("remote pranswer", remote(Type::PrAnswer), &[HaveLocalOffer, HaveRemotePrAnswer]),
        ("remote rollback", remote(Type::Rollback), &[HaveRemoteOffer]),
    ];
    for (name, call, allowed) in &calls {
        for state in STATES {
            let mut world = in_state(state);
            let result = call(&mut world);
            if allowed.contains(&state) {
                assert_eq!(result, Ok(()), "{name} in {state:?}");
            } else {
                let refused = class(result);
                assert_eq!(refused, Some(ErrorKind::InvalidStateError), "{name} in {state:?}");
                assert_eq!(world.peers[ALICE].signaling_state(), state);
            }
        }
    }
}

#[test]
fn local_descriptions_that_were_not_created_last_are_modified_ones() {
    let modified = Some(ErrorKind::InvalidModificationError);
    let mut world = in_state(SignalingState::Stable);
    let peer = &mut world.peers[ALICE];
    let old = peer.create_offer(world.now, OfferOptions { ice_restart: true }).unwrap();
    peer.create_offer(world.now, OfferOptions { ice_restart: true }).unwrap();
    for sdp in [&*old.sdp, "v=0\r\n", "nonsense", &old.sdp.replace("a=setup:actpass", "a=setup:active")] {
        let result = peer.set_local_description(world.now, Some(of_kind(SdpType::Offer, sdp)));
        assert_eq!(class(result), modified, "{sdp}");
    }
    let mut world = in_state(SignalingState::HaveRemoteOffer);
    for kind in [SdpType::Answer, SdpType::PrAnswer] {
        let result = world.peers[ALICE].set_local_description(world.now, Some(of_kind(kind, &old.sdp)));
        assert_eq!(class(result), modified);
    }
    assert_eq!(world.peers[ALICE].signaling_state(), SignalingState::HaveRemoteOffer);
}

#[test]
fn remote_descriptions_are_refused_with_their_line_or_their_section() {
    let mut world = in_state(SignalingState::Stable);
    let offer = world.describe(BOB).sdp;
    let line_of = |text: &str, start: &str| {
        let index = text.lines().position(|line| line.starts_with(start)).unwrap();
        u32::try_from(index + 1).unwrap()
    };
    let syntax = ErrorKind::RtcError(RtcErrorDetail::SdpSyntaxError);
    let broken = [
        (offer.replace("v=0", "v=1"), "v="),
        (offer.replace("o=- ", "o=- x "), "o="),
        (offer.replace("a=setup:actpass", "a=setup:sideways"), "a=setup"),
        (offer.replace("a=sctp-port:5000", "a=sctp-port:port"), "a=sctp-port"),
    ];
    for (text, start) in &broken {
        let offer = of_kind(SdpType::Offer, text);
        let error = world.peers[ALICE].set_remote_description(world.now, offer).expect_err(start);
        assert_eq!(error.kind(), syntax, "{error}");
        assert_eq!(error.sdp_line_number(), Some(line_of(text, start)), "{error}");
    }
    let invalid = [
        offer.replace("a=ice-pwd", "a=x-pwd"),
        offer.replace("a=fingerprint", "a=x-fingerprint"),
        format!(
            "{offer}m=audio 9 UDP/TLS/RTP/SAVPF 0\r\nc=IN IP4 0.0.0.0\r\na=mid:7\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\na=fingerprint:sha-256 {}\r\na=setup:actpass\r\n",
            ["11"; 32].join(":")
        ),
        offer.replace("a=mid:0", "a=mid:9"),
    ];
    for text in &invalid {
        let error =
            world.peers[ALICE].set_remote_description(world.now, of_kind(SdpType::Offer, text)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidAccessError, "{error}");
        assert_eq!(error.sdp_line_number(), None);
        assert_eq!(world.peers[ALICE].signaling_state(), SignalingState::Stable);
    }
}

#[test]
fn add_ice_candidate_checks_in_the_order_of_its_steps() {
    let init = |candidate: &str, mid: Option<&str>, index: Option<u16>, ufrag: Option<&str>| {
        Some(IceCandidateInit {
            candidate: candidate.to_owned(),
            sdp_mid: mid.map(str::to_owned),
            sdp_m_line_index: index,
            username_fragment: ufrag.map(str::to_owned),
        })
    };
    let good = "candidate:1 1 udp 1 10.0.0.9 9 typ host";
    let mut fresh = World::new();
    let add = |world: &mut World, one| class(world.peers[ALICE].add_ice_candidate(world.now, one));
    // A candidate without a section is a TypeError in any state, but a closed one.
    assert_eq!(add(&mut fresh, init(good, None, None, None)), Some(ErrorKind::TypeError));
    for without in [None, init("", None, None, None), init(good, Some("0"), None, None)] {
        assert_eq!(add(&mut fresh, without), Some(ErrorKind::InvalidStateError));
    }
    let mut world = in_state(SignalingState::Stable);
    let ufrag = world.ufrag(BOB);
    let operation = Some(ErrorKind::OperationError);
    for (one, expected) in [
        (init(good, None, None, Some(&ufrag)), Some(ErrorKind::TypeError)),
        (init(good, Some("9"), None, None), operation),
        (init(good, Some("9"), Some(0), None), operation),
        (init("", Some("9"), None, None), operation),
        (init(good, None, Some(1), None), operation),
        (init("", None, Some(65_535), None), operation),
        (init(good, Some("0"), None, Some("wrong")), operation),
        (init("", Some("0"), None, Some("wrong")), operation),
        (init("", None, None, Some("wrong")), operation),
        (init("candidate:1", Some("0"), None, None), operation),
        (init("nonsense", Some("0"), None, None), operation),
        (init("candidate:1 1 udp x 10.0.0.9 9 typ host", Some("0"), None, None), operation),
        (init(good, Some("0"), Some(77), None), None),
        (init(good, None, Some(0), Some(&ufrag)), None),
        (init("candidate:1 1 udp 1 10.0.0.9 9 typ mystery", Some("0"), None, None), None),
        (init("candidate:1 2 udp 1 10.0.0.9 9 typ host", Some("0"), None, None), None),
        (init("", Some("0"), None, Some(&ufrag)), None),
        (init("", None, None, None), None),
        (None, None),
    ] {
        assert_eq!(add(&mut world, one.clone()), expected, "{one:?}");
    }
    world.peers[ALICE].close(world.now);
    assert_eq!(add(&mut world, init(good, Some("0"), None, None)), Some(ErrorKind::InvalidStateError));
}

#[test]
fn configurations_are_refused_as_the_w3c_says() {
    let server = |url: &str, username: &str, credential: &str| Configuration {
        ice_servers: vec![IceServer {
            urls: vec![url.to_owned()],
            username: username.to_owned(),
            credential: credential.to_owned(),
        }],
        ..Configuration::default()
    };
    let mut world = in_state(SignalingState::Stable);
    let now = world.now;
    let mut set = |configuration| class(world.peers[ALICE].set_configuration(now, configuration));
    let syntax = Some(ErrorKind::SyntaxError);
    let access = Some(ErrorKind::InvalidAccessError);
    for (configuration, expected) in [
        (server("http://example.org", "", ""), syntax),
        (server("stun:", "", ""), syntax),
        (server("stun:example.org?transport=udp", "", ""), syntax),
        (server("stun:user@example.org", "", ""), syntax),
        (server("stun://example.org", "", ""), syntax),
        (server("stun:example.org#top", "", ""), syntax),
        (server("turn:example.org?transport=sctp", "u", "c"), syntax),
        (server("turn:example.org:99999", "u", "c"), syntax),
        (server("turn:example.org", "", "c"), access),
        (server("turns:example.org", "u", ""), access),
        (server("stun:example.org", "", ""), None),
        (server("turn:example.org", "u", "c"), None),
        (Configuration { ice_servers: vec![IceServer::default()], ..Configuration::default() }, syntax),
    ] {
        let servers = configuration.ice_servers.clone();
        assert_eq!(set(configuration), expected, "{servers:?}");
    }
    let modified = Some(ErrorKind::InvalidModificationError);
    for policy in [BundlePolicy::MaxCompat, BundlePolicy::MaxBundle, BundlePolicy::MustBundle] {
        assert_eq!(set(Configuration { bundle_policy: policy, ..Configuration::default() }), modified);
    }
    let pool = Configuration { ice_candidate_pool_size: 1, ..Configuration::default() };
    assert_eq!(set(pool.clone()), modified, "a local description was set");
    let mut early = World::new();
    assert_eq!(class(early.peers[ALICE].set_configuration(early.now, pool)), None);
    assert_eq!(early.peers[ALICE].configuration().ice_candidate_pool_size, 1);
    world.peers[ALICE].close(now);
    let closed = class(world.peers[ALICE].set_configuration(now, Configuration::default()));
    assert_eq!(closed, Some(ErrorKind::InvalidStateError));
}

#[test]
fn encodings_of_new_transceivers_are_refused_as_the_w3c_says() {
    let mut world = in_state(SignalingState::Stable);
    let now = world.now;
    let peer = &mut world.peers[ALICE];
    let encoding = RtpEncodingParameters::default;
    let with = |encodings: Vec<RtpEncodingParameters>| TransceiverInit {
        send_encodings: encodings,
        ..TransceiverInit::default()
    };
    let of_codec = |name: &str| RtpEncodingParameters {
        codec: Some(RtpCodec::new(name, 90_000)),
        ..RtpEncodingParameters::default()
    };
    let rid = RtpEncodingParameters::with_rid;
    let scaled = |scale| RtpEncodingParameters { scale_resolution_down_by: Some(scale), ..encoding() };
    let framed = |rate| RtpEncodingParameters { max_framerate: Some(rate), ..encoding() };
    let range = Some(ErrorKind::RangeError);
    for (kind, encodings, expected) in [
        (TrackKind::Video, vec![rid("a"), encoding()], Some(ErrorKind::TypeError)),
        (TrackKind::Video, vec![rid("a"), rid("a")], Some(ErrorKind::TypeError)),
        (TrackKind::Video, vec![rid("")], Some(ErrorKind::TypeError)),
        (TrackKind::Video, vec![rid(&"x".repeat(256))], Some(ErrorKind::TypeError)),
        (TrackKind::Video, vec![encoding(), encoding()], Some(ErrorKind::TypeError)),
        (TrackKind::Video, vec![of_codec("video/nonesuch")], Some(ErrorKind::OperationError)),
        (TrackKind::Audio, vec![of_codec("video/VP8")], Some(ErrorKind::OperationError)),
        (TrackKind::Video, vec![scaled(0.99)], range),
        (TrackKind::Video, vec![scaled(f64::NAN)], range),
        (TrackKind::Video, vec![framed(-1.0)], range),
        (TrackKind::Video, vec![framed(0.0)], range),
        // What only video has is taken out of audio before it is looked at.
        (TrackKind::Audio, vec![scaled(0.5)], None),
        (TrackKind::Audio, vec![framed(-1.0)], None),
        (TrackKind::Video, vec![of_codec("VIDEO/vp8")], None),
    ] {
        let text = format!("{kind} {encodings:?}");
        let result = peer.add_transceiver(now, kind, with(encodings));
        if let (Ok(id), TrackKind::Audio) = (&result, kind) {
            let kept = peer.transceiver(*id).unwrap().sender.encodings;
            assert_eq!((kept[0].scale_resolution_down_by, kept[0].max_framerate), (None, None));
        }
        assert_eq!(class(result), expected, "{text}");
    }
    let stopped = TransceiverInit::new(TransceiverDirection::Stopped);
    assert_eq!(class(peer.add_transceiver(now, TrackKind::Audio, stopped)), Some(ErrorKind::TypeError));
    // The scale of an encoding that is cut off counts for the others.
    let last = RtpEncodingParameters { scale_resolution_down_by: Some(3.0), ..rid("d") };
    let many = vec![rid("a"), rid("b"), rid("c"), last];
    let id = peer.add_transceiver(now, TrackKind::Video, with(many)).unwrap();
    let scales = peer.transceiver(id).unwrap().sender.encodings;
    assert_eq!(scales.len(), 3);
    assert!(scales.iter().all(|one| one.scale_resolution_down_by == Some(1.0)));
}

#[test]
fn unsuitable_tracks_and_foreign_transceivers_are_refused_as_the_w3c_says() {
    let other = {
        let mut other = World::new();
        for name in ["a", "b", "c", "d"] {
            other.peers[BOB].add_track(other.now, Track::audio(name), vec![]).unwrap();
        }
        other.peers[BOB].transceivers()[3].id
    };
    let mut world = World::new();
    let now = world.now;
    let peer = &mut world.peers[ALICE];
    let access = Some(ErrorKind::InvalidAccessError);
    assert_eq!(class(peer.remove_track(now, other)), access);
    assert_eq!(class(peer.replace_track(now, other, None)), access);
    let id = peer.add_track(now, Track::audio("mic"), vec![]).unwrap();
    assert_eq!(class(peer.add_track(now, Track::audio("mic"), vec![])), access);
    assert_eq!(class(peer.replace_track(now, id, Some(Track::video("x")))), Some(ErrorKind::TypeError));
}

#[test]
fn operations_on_stopped_transceivers_are_refused_as_the_w3c_says() {
    let mut world = World::new();
    let now = world.now;
    let peer = &mut world.peers[ALICE];
    let state = Some(ErrorKind::InvalidStateError);
    let id = peer.add_track(now, Track::audio("mic"), vec![]).unwrap();
    while peer.poll_event().is_some() {}
    peer.stop_transceiver(now, id).unwrap();
    assert_eq!(peer.poll_event(), Some(Event::TrackEnded(id, TrackKind::Audio)));
    assert_eq!(class(peer.set_direction(now, id, TransceiverDirection::Stopped)), state);
    assert_eq!(class(peer.replace_track(now, id, None)), state);
    assert_eq!(class(peer.replace_track(now, id, Some(Track::video("x")))), Some(ErrorKind::TypeError));
    assert_eq!(class(peer.remove_track(now, id)), None);
    assert_eq!(class(peer.stop_transceiver(now, id)), None);
    assert_eq!(peer.poll_event(), None, "it ends once");
    world.exchange(ALICE);
    let peer = &mut world.peers[ALICE];
    assert_eq!(peer.transceiver(id), None);
    assert_eq!(class(peer.remove_track(now, id)), None);
    assert_eq!(class(peer.stop_transceiver(now, id)), None);
    assert_eq!(class(peer.set_direction(now, id, TransceiverDirection::SendRecv)), state);
    assert_eq!(class(peer.send_parameters(now, id)), state);
    peer.close(now);
    assert_eq!(class(peer.stop_transceiver(now, id)), state);
    assert_eq!(class(peer.remove_track(now, id)), state);
    assert_eq!(class(peer.set_streams(now, id, vec![])), state);
    assert_eq!(class(peer.add_track(now, Track::audio("mic"), vec![])), state);
    assert_eq!(class(peer.add_transceiver(now, TrackKind::Audio, TransceiverInit::default())), state);
}

#[test]
fn set_parameters_changes_encodings_and_nothing_else() {
    let mut world = World::new();
    let now = world.now;
    let id = world.peers[ALICE].add_track(now, Track::video("camera"), vec![]).unwrap();
    let take = Track::video("theirs");
    world.peers[BOB].add_track(now, take, vec![]).unwrap();
    let peer = &mut world.peers[ALICE];
    let read = |peer: &mut columba_peer::Peer| peer.send_parameters(now, id).unwrap();
    let unread = columba_peer::RtpSendParameters::default();
    assert_eq!(peer.set_send_parameters(now, id, unread.clone()), Err(Error::ParametersNotRead));
    assert_eq!(class(peer.set_send_parameters(now, id, unread)), Some(ErrorKind::InvalidStateError));
    let parameters = read(peer);
    assert_eq!(read(peer), parameters, "the same until they are set or an answer comes");
    world.exchange(ALICE);
    let peer = &mut world.peers[ALICE];
    assert_eq!(class(peer.set_send_parameters(now, id, parameters)), Some(ErrorKind::InvalidStateError));
    let parameters = read(peer);
    let modified = Some(ErrorKind::InvalidModificationError);
    type Change = fn(&mut columba_peer::RtpSendParameters);
    let changes: [(Change, Option<ErrorKind>); 12] = [
        (|one| one.transaction_id += 1, modified),
        (|one| one.encodings.clear(), modified),
        (|one| one.encodings.push(RtpEncodingParameters::default()), modified),
        (|one| one.encodings[0].rid = Some("x".to_owned()), modified),
        (|one| one.codecs.truncate(1), modified),
        (|one| one.codecs.reverse(), modified),
        (|one| one.header_extensions.clear(), modified),
        (|one| one.rtcp.cname = None, modified),
        (|one| one.encodings[0].codec = Some(RtpCodec::new("video/nonesuch", 90_000)), modified),
        (|one| one.encodings[0].scale_resolution_down_by = Some(0.5), Some(ErrorKind::RangeError)),
        (|one| one.encodings[0].max_framerate = Some(-0.5), Some(ErrorKind::RangeError)),
        (|one| one.encodings[0].max_framerate = Some(0.0), None),
    ];
    for (index, (change, expected)) in changes.into_iter().enumerate() {
        let mut changed = parameters.clone();
        change(&mut changed);
        assert_eq!(class(peer.set_send_parameters(now, id, changed)), expected, "change {index}");
    }
    let mut changed = read(peer);
    changed.encodings[0].codec = Some(changed.codecs[0].codec.clone());
    changed.encodings[0].scale_resolution_down_by = None;
    assert_eq!(peer.set_send_parameters(now, id, changed), Ok(()));
    assert_eq!(read(peer).encodings[0].scale_resolution_down_by, Some(1.0));
    peer.stop_transceiver(now, id).unwrap();
    let parameters = read(peer);
    assert_eq!(class(peer.set_send_parameters(now, id, parameters)), Some(ErrorKind::InvalidStateError));
}

#[test]
fn data_channels_are_refused_as_the_w3c_says() {
    let mut world = World::new();
    let now = world.now;
    let peer = &mut world.peers[ALICE];
    let negotiated = |stream| DataChannelInit { negotiated: Some(stream), ..DataChannelInit::default() };
    let long = "x".repeat(65_536);
    let both = DataChannelInit {
        max_packet_life_time: Some(1),
        max_retransmits: Some(1),
        ..DataChannelInit::default()
    };
    let protocol = DataChannelInit { protocol: long.clone(), ..DataChannelInit::default() };
    let wrong = Some(ErrorKind::TypeError);
    for (label, init, expected) in [
        (&*long, DataChannelInit::default(), wrong),
        (&long[1..], DataChannelInit::default(), None),
        ("", protocol, wrong),
        ("", both, wrong),
        ("", negotiated(65_535), wrong),
        ("", negotiated(65_534), None),
        ("", negotiated(65_534), Some(ErrorKind::OperationError)),
    ] {
        assert_eq!(class(peer.create_data_channel(now, label, init)), expected);
    }
    let id = peer.create_data_channel(now, "x", DataChannelInit::default()).unwrap();
    assert_eq!(class(peer.send(now, id, "early".into())), Some(ErrorKind::InvalidStateError));
    peer.close_channel(now, id).unwrap();
    assert_eq!(class(peer.send(now, id, "late".into())), Some(ErrorKind::InvalidStateError));
    peer.close(now);
    let closed = peer.create_data_channel(now, "x", DataChannelInit::default());
    assert_eq!(class(closed), Some(ErrorKind::InvalidStateError));
}

/// RFC 9143 §7.3.3: the tagged section of a bundle that runs is not rejected alone. The answerer
/// keeps it without media, and takes it out by an offer of its own.
#[test]
fn tagged_section_of_a_running_bundle_is_not_rejected_alone() {
    for (stopped, is_tagged) in [(0, true), (1, false)] {
        let mut world = World::new();
        let now = world.now;
        for name in ["a", "v"] {
            for index in [ALICE, BOB] {
                let track = if name == "a" { Track::audio(name) } else { Track::video(name) };
                world.peers[index].add_track(now, track, vec![]).unwrap();
            }
        }
        world.exchange(ALICE);
        let port = |text: &str, index: usize| {
            let line = text.lines().filter(|line| line.starts_with("m=")).nth(index).unwrap();
            line.split(' ').nth(1).unwrap().to_owned()
        };
        let id = world.peers[BOB].transceivers()[stopped].id;
        world.peers[BOB].stop_transceiver(now, id).unwrap();
        let offer = world.describe(ALICE);
        world.set(BOB, offer);
        let answer = world.describe(BOB);
        assert_eq!(port(&answer.sdp, stopped) != "0", is_tagged, "{}", answer.sdp);
        let group = |sdp: &str| sdp.lines().find(|line| line.starts_with("a=group")).unwrap().to_owned();
        if is_tagged {
            assert!(answer.sdp.contains("a=inactive") && group(&answer.sdp).contains(" 0 "));
        }
        world.set(ALICE, answer);
        assert_eq!(world.peers[BOB].is_negotiation_needed(), is_tagged);
        if is_tagged {
            world.exchange(BOB);
        }
        for index in [ALICE, BOB] {
            assert_eq!(world.peers[index].transceivers().len(), 1);
            assert!(!world.peers[index].is_negotiation_needed());
            assert_eq!(world.peers[index].transports().len(), 1, "the others go on");
        }
        assert_eq!(port(&world.text(BOB), stopped), "0");
    }
}

/// `statechange` and `gatheringstatechange` of `RTCIceTransport` come before those of the whole, in
/// the same task.
#[test]
fn ice_transports_announce_their_states_before_the_whole() {
    let mut world = World::new();
    let names = |world: &mut World, index: usize| -> Vec<String> {
        world.drain(index).iter().map(|event| format!("{event:?}")).collect()
    };
    world.describe(ALICE);
    let events = names(&mut world, ALICE);
    let place = |events: &[String], text: &str| events.iter().position(|event| event.starts_with(text));
    for state in ["Gathering", "Complete"] {
        let own = place(&events, &format!("IceTransportGatheringState(TransportId(0), {state})"));
        let whole = place(&events, &format!("IceGatheringState({state})"));
        assert_eq!(own.map(|own| own + 1), whole, "{events:?}");
    }
    let offer = SessionDescription::offer(world.text(ALICE));
    world.set(BOB, offer);
    world.describe(BOB);
    names(&mut world, BOB);
    let answer = SessionDescription::answer(world.text(BOB));
    world.set(ALICE, answer);
    let events = names(&mut world, ALICE);
    let own = place(&events, "IceTransportState(TransportId(0), Checking)");
    let whole = place(&events, "IceConnectionState(Checking)");
    assert_eq!(own.map(|own| own + 1), whole, "{events:?}");
    assert!(own.is_some(), "{events:?}");
    // A rollback brings the state of gathering back, and says so.
    world.peers[ALICE].restart_ice(world.now);
    world.describe(ALICE);
    names(&mut world, ALICE);
    world.peers[ALICE].create_offer(world.now, OfferOptions { ice_restart: true }).unwrap();
    world.roll_back_local(ALICE);
    let events = names(&mut world, ALICE);
    assert_eq!(events, ["SignalingState(Stable)", "NegotiationNeeded"], "it was complete, and is");
    world.peers[ALICE].restart_ice(world.now);
    world.describe(ALICE);
    world.roll_back_local(ALICE);
    let events = names(&mut world, ALICE);
    let (gathering, complete) = (place(&events, GATHERING), place(&events, COMPLETE));
    assert!(gathering.is_some() && gathering < complete, "{events:?}");
}

const GATHERING: &str = "IceTransportGatheringState(TransportId(0), Gathering)";
const COMPLETE: &str = "IceTransportGatheringState(TransportId(0), Complete)";

/// The end of a transport that has run is said once no section uses it.
#[test]
fn transports_without_a_section_are_closed() {
    let policy = Configuration { bundle_policy: BundlePolicy::MaxCompat, ..Configuration::default() };
    let mut world = World::with([policy.clone(), policy]);
    for index in [ALICE, BOB] {
        world.peers[index].add_track(world.now, Track::audio("a"), vec![]).unwrap();
    }
    let unbundled = |text: String| {
        let lines = text.lines().filter(|line| !line.starts_with("a=group"));
        lines.fold(String::new(), |text, line| text + line + "\r\n")
    };
    let exchange = |world: &mut World| {
        let offer = unbundled(world.describe(ALICE).sdp);
        world.set(BOB, SessionDescription::offer(offer));
        let answer = unbundled(world.describe(BOB).sdp);
        world.set(ALICE, SessionDescription::answer(answer));
    };
    exchange(&mut world);
    world.drain(ALICE);
    let audio = world.peers[ALICE].transceivers().remove(0);
    let transport = audio.transport.unwrap();
    world.peers[ALICE].stop_transceiver(world.now, audio.id).unwrap();
    exchange(&mut world);
    let ended = [
        Event::IceTransportState(transport, IceConnectionState::Closed),
        Event::DtlsState(transport, DtlsTransportState::Closed),
    ];
    let events = world.drain(ALICE);
    assert!(events.windows(2).any(|two| two == ended), "{events:?}");
    assert_eq!(world.peers[ALICE].transports().len(), 1);
}
