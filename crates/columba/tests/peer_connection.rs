//! Two peer connections in one process, over real sockets.
#![allow(missing_docs, reason = "a test")]

mod common;

use std::net::SocketAddr;

use columba::{
    Configuration, DataChannel, DataChannelInit, DataChannelState, Error, Event, Events, IceConfig, MdnsMode,
    Message, PeerConnection, PeerConnectionState, PeerError, SessionDescription, TcpMode,
};
use common::soon;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// One side: the connection, and what it tells, candidates excepted, which go to the other side.
struct Side {
    connection: PeerConnection,
    events: mpsc::UnboundedReceiver<Event>,
}

impl Side {
    /// Until the connection has this state.
    async fn reaches(&mut self, state: PeerConnectionState) {
        loop {
            match soon("a state", self.events.recv()).await {
                Some(Event::ConnectionState(now)) if now == state => return,
                Some(_) => {}
                None => panic!("the events ended before {state:?}"),
            }
        }
    }

    async fn channel(&mut self) -> DataChannel {
        loop {
            match soon("a channel", self.events.recv()).await {
                Some(Event::DataChannel(channel)) => return channel,
                Some(_) => {}
                None => panic!("the events ended"),
            }
        }
    }
}

/// Hands one side's candidates to the other and keeps the rest of its events.
fn forward(mut from: Events, to: PeerConnection) -> mpsc::UnboundedReceiver<Event> {
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(event) = from.recv().await {
            if let Event::IceCandidate(Some(candidate)) = &event {
                // The other side may be closed by now.
                let _ = to.add_ice_candidate(candidate.init.clone()).await;
            }
            let _ = sender.send(event);
        }
    });
    receiver
}

/// A caller with a channel, and a callee; descriptions are exchanged.
async fn pair() -> (Side, Side, DataChannel) {
    pair_of(Configuration::default()).await
}

async fn pair_of(configuration: Configuration) -> (Side, Side, DataChannel) {
    let (caller, caller_events) = PeerConnection::new(configuration.clone()).unwrap();
    let (callee, callee_events) = PeerConnection::new(configuration).unwrap();
    let channel = caller.create_data_channel("a channel", DataChannelInit::default()).unwrap();
    let offer = caller.set_local_description(None).await.unwrap();
    callee.set_remote_description(offer).await.unwrap();
    let answer = callee.set_local_description(None).await.unwrap();
    caller.set_remote_description(answer).await.unwrap();
    let caller_told = forward(caller_events, callee.clone());
    let callee_told = forward(callee_events, caller.clone());
    let caller = Side { connection: caller, events: caller_told };
    (caller, Side { connection: callee, events: callee_told }, channel)
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_go_both_ways_and_the_caller_closes() {
    let (mut caller, mut callee, channel) = pair().await;
    soon("sending", channel.send("hello")).await.unwrap();
    let other = callee.channel().await;
    assert_eq!((other.label(), other.state()), ("a channel", DataChannelState::Open));
    assert_eq!(soon("hello", other.recv()).await, Some(Message::from("hello")));
    soon("sending", other.send(vec![1, 2, 3])).await.unwrap();
    assert_eq!(soon("an answer", channel.recv()).await, Some(Message::from(vec![1, 2, 3])));
    soon("sending", other.send("")).await.unwrap();
    assert_eq!(soon("nothing, said", channel.recv()).await, Some(Message::from("")));
    caller.reaches(PeerConnectionState::Connected).await;
    soon("closing", caller.connection.close()).await;
    assert_eq!(caller.connection.connection_state(), PeerConnectionState::Closed);
    assert_eq!(soon("the end", other.recv()).await, None);
    let _ = soon("the end", other.closed()).await;
    assert!(matches!(channel.try_send("late"), Err(Error::Peer(_))));
    soon("closing", callee.connection.close()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_callee_closes() {
    let (caller, mut callee, channel) = pair().await;
    soon("opening", channel.opened()).await.unwrap();
    let other = callee.channel().await;
    soon("closing", callee.connection.close()).await;
    assert_eq!(soon("the end", channel.recv()).await, None);
    assert_eq!(soon("the end", other.recv()).await, None);
    soon("closing", caller.connection.close()).await;
}

fn without_datagrams() -> Configuration {
    let ice = IceConfig { udp: false, ..IceConfig::default() };
    Configuration { ice, ..Configuration::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_datagram_passes_tcp_carries_everything() {
    let (mut caller, mut callee, channel) = pair_of(without_datagrams()).await;
    soon("opening", channel.opened()).await.unwrap();
    let other = callee.channel().await;
    caller.reaches(PeerConnectionState::Connected).await;
    let stats = caller.connection.stats();
    let pair = stats.transports[0]
        .ice
        .pairs
        .iter()
        .find(|pair| Some(pair.id) == stats.transports[0].ice.transport.selected_pair)
        .unwrap();
    let path = pair.path.unwrap();
    assert_eq!(path.transport, columba_peer::Transport::Tcp);
    // More than may wait for the connection at once.
    let sending = tokio::spawn({
        let channel = channel.clone();
        async move {
            for number in 0..64u8 {
                channel.send(vec![number; 64 << 10]).await.unwrap();
            }
        }
    });
    for number in 0..64u8 {
        let message = soon("a message", other.recv()).await;
        assert_eq!(message, Some(Message::from(vec![number; 64 << 10])));
    }
    soon("the sender", sending).await.unwrap();
    channel.try_send("last words").unwrap();
    soon("closing", caller.connection.close()).await;
    assert_eq!(soon("last words", other.recv()).await, Some(Message::from("last words")));
    assert_eq!(soon("the end", other.recv()).await, None);
    soon("closing", callee.connection.close()).await;
}

/// Hands on only the candidates that open connections at once.
fn forward_simultaneous(mut from: Events, to: PeerConnection) {
    tokio::spawn(async move {
        while let Some(event) = from.recv().await {
            if let Event::IceCandidate(Some(candidate)) = event
                && candidate.init.candidate.contains("tcptype so")
            {
                let _ = to.add_ice_candidate(candidate.init).await;
            }
        }
    });
}

/// Descriptions without the candidates that they hold already.
fn bare(description: SessionDescription) -> SessionDescription {
    let lines = description.sdp.split_inclusive("\r\n").filter(|line| !line.starts_with("a=candidate:"));
    SessionDescription { sdp: lines.collect(), ..description }
}

/// One may be sooner, or both may meet half-way: it is one connection.
#[tokio::test(flavor = "multi_thread")]
async fn both_open_a_connection_at_once_from_the_ports_at_which_they_listen() {
    let ice = IceConfig { udp: false, tcp: TcpMode::SimultaneousOpen, ..IceConfig::default() };
    let configuration = Configuration { ice, ..Configuration::default() };
    for _ in 0..10 {
        let (caller, caller_events) = PeerConnection::new(configuration.clone()).unwrap();
        let (callee, callee_events) = PeerConnection::new(configuration.clone()).unwrap();
        let channel = caller.create_data_channel("a channel", DataChannelInit::default()).unwrap();
        let offer = caller.set_local_description(None).await.unwrap();
        callee.set_remote_description(bare(offer)).await.unwrap();
        let answer = callee.set_local_description(None).await.unwrap();
        caller.set_remote_description(bare(answer)).await.unwrap();
        forward_simultaneous(caller_events, callee.clone());
        forward_simultaneous(callee_events, caller.clone());
        soon("opening", channel.opened()).await.unwrap();
        let ends = [&caller, &callee].map(|connection| {
            let stats = connection.stats();
            let selected = stats.transports[0].ice.transport.selected_pair;
            let pair = stats.transports[0].ice.pairs.iter().find(|pair| Some(pair.id) == selected).unwrap();
            let path = pair.path.unwrap();
            (path.local, path.remote)
        });
        // Whichever came first: each end has the port that was told to the other.
        assert_eq!(ends[0], (ends[1].1, ends[1].0));
        soon("closing", caller.close()).await;
        soon("closing", callee.close()).await;
    }
}

/// The address at which a connection listens.
async fn listener(events: &mut Events) -> SocketAddr {
    loop {
        if let Some(Event::IceCandidate(Some(found))) = soon("a listener", events.recv()).await
            && let Some(candidate) = found.candidate
            && candidate.port != 9
        {
            return candidate.socket_address().unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_at_the_listener_are_shown_out() {
    let (connection, mut events) = PeerConnection::new(without_datagrams()).unwrap();
    connection.create_data_channel("a channel", DataChannelInit::default()).unwrap();
    connection.set_local_description(None).await.unwrap();
    let listener = listener(&mut events).await;
    // Who comes first has to leave when too many come after.
    let mut strangers = Vec::new();
    for _ in 0..40 {
        strangers.push(soon("connecting", TcpStream::connect(listener)).await.unwrap());
    }
    for mut early in strangers.drain(..24) {
        assert!(matches!(soon("the end", early.read(&mut [0; 1])).await, Ok(0) | Err(_)));
    }
    // Who speaks another language has to leave at once.
    let mut last = strangers.pop().unwrap();
    let nonsense = [b"\x00\x0e".as_slice(), b"GET / HTTP/1.1"].concat();
    last.write_all(&nonsense).await.unwrap();
    assert!(matches!(soon("the end", last.read(&mut [0; 1])).await, Ok(0) | Err(_)));
    soon("closing", connection.close()).await;
    for mut other in strangers {
        assert!(matches!(soon("the end", other.read(&mut [0; 1])).await, Ok(0) | Err(_)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_are_hidden_and_found_all_the_same() {
    let ice = IceConfig { mdns: MdnsMode::QueryAndGather, ..IceConfig::default() };
    let (caller, mut callee, channel) = pair_of(Configuration { ice, ..Configuration::default() }).await;
    soon("opening", channel.opened()).await.unwrap();
    soon("sending", channel.send("hello")).await.unwrap();
    assert_eq!(soon("hello", callee.channel().await.recv()).await, Some(Message::from("hello")));
    for connection in [&caller.connection, &callee.connection] {
        let description = connection.local_description().unwrap().sdp;
        let mut hosts = description.lines().filter(|line| line.starts_with("a=candidate:"));
        assert!(hosts.all(|line| line.contains(".local ") || line.contains(" 127.0.0.1 ")), "{description}");
    }
    soon("closing", caller.connection.close()).await;
    soon("closing", callee.connection.close()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_sent_right_before_the_close_arrives() {
    let (caller, mut callee, channel) = pair().await;
    soon("opening", channel.opened()).await.unwrap();
    let other = callee.channel().await;
    channel.try_send("last words").unwrap();
    soon("closing", caller.connection.close()).await;
    assert_eq!(soon("last words", other.recv()).await, Some(Message::from("last words")));
    assert_eq!(soon("the end", other.recv()).await, None);
    soon("the end", other.closed()).await.unwrap();
    soon("closing", callee.connection.close()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_is_closed_from_either_side_and_the_connection_stays() {
    let (caller, mut callee, channel) = pair().await;
    soon("opening", channel.opened()).await.unwrap();
    let other = callee.channel().await;
    channel.send("last words").await.unwrap();
    channel.close();
    assert_eq!(soon("last words", other.recv()).await, Some(Message::from("last words")));
    assert_eq!(soon("the end", other.recv()).await, None);
    soon("the end", other.closed()).await.unwrap();
    soon("the end", channel.closed()).await.unwrap();
    assert_eq!(channel.state(), DataChannelState::Closed);

    let second = callee.connection.create_data_channel("second", DataChannelInit::default()).unwrap();
    soon("opening", second.opened()).await.unwrap();
    second.close();
    soon("the end", second.closed()).await.unwrap();
    assert_eq!(caller.connection.connection_state(), PeerConnectionState::Connected);
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_megabytes_go_each_way_whole() {
    const CHUNK: usize = 64 << 10;
    const CHUNKS: usize = 320;
    let (_caller, mut callee, channel) = pair().await;
    soon("opening", channel.opened()).await.unwrap();
    let other = callee.channel().await;
    let mut tasks = Vec::new();
    for (end, seed) in [(channel, 1), (other, 2)] {
        let sender = end.clone();
        tasks.push(tokio::spawn(async move {
            for number in 0..CHUNKS {
                sender.send(vec![(number + seed) as u8; CHUNK]).await.unwrap();
                assert!(sender.buffered_amount() <= 2 << 20);
            }
        }));
        tasks.push(tokio::spawn(async move {
            for number in 0..CHUNKS {
                let Some(Message::Binary(bytes)) = end.recv().await else { panic!("ended at {number}") };
                assert_eq!(bytes.len(), CHUNK);
                assert!(bytes.iter().all(|byte| *byte == (number + 3 - seed) as u8), "chunk {number}");
            }
        }));
    }
    for task in tasks {
        soon("the transfer", task).await.unwrap();
    }
}

/// Loopback bears whatever a DTLS record holds, and the sockets say so truly.
#[tokio::test(flavor = "multi_thread")]
async fn datagrams_grow_to_what_loopback_bears() {
    let (caller, mut callee, channel) = pair().await;
    soon("opening", channel.opened()).await.unwrap();
    let other = callee.channel().await;
    let mtu = || caller.connection.stats().sctp.association.mtu;
    assert!(mtu() < 1200, "nothing is tried before there is something to send");
    soon("the largest datagram", async {
        while mtu() < (1 << 14) - 4 {
            for _ in 0..16 {
                channel.send(vec![7; 64 << 10]).await.unwrap();
            }
            for _ in 0..16 {
                assert_eq!(other.recv().await.map(|message| message.len()), Some(64 << 10));
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_holds_the_sender_back_and_loses_nothing() {
    let (_caller, mut callee, channel) = pair().await;
    soon("opening", channel.opened()).await.unwrap();
    let other = callee.channel().await;
    let sender = channel.clone();
    let sending = tokio::spawn(async move {
        for number in 0..400u32 {
            let mut message = vec![0; 64 << 10];
            message[..4].copy_from_slice(&number.to_be_bytes());
            sender.send(message).await.unwrap();
        }
    });
    let idle = tokio::time::sleep(std::time::Duration::from_millis(300));
    tokio::pin!(idle);
    idle.await;
    assert!(!sending.is_finished(), "25 MiB are more than may wait anywhere");
    for number in 0..400u32 {
        let Some(Message::Binary(bytes)) = soon("a message", other.recv()).await else { panic!("ended") };
        assert_eq!(bytes[..4], number.to_be_bytes());
    }
    soon("the sender", sending).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn negotiated_channels_need_no_announcement() {
    let (caller, caller_events) = PeerConnection::new(Configuration::default()).unwrap();
    let (callee, callee_events) = PeerConnection::new(Configuration::default()).unwrap();
    let init = DataChannelInit { negotiated: Some(0), ..DataChannelInit::default() };
    let ours = caller.create_data_channel("columba", init.clone()).unwrap();
    let theirs = callee.create_data_channel("columba", init).unwrap();
    callee.set_remote_description(caller.set_local_description(None).await.unwrap()).await.unwrap();
    caller.set_remote_description(callee.set_local_description(None).await.unwrap()).await.unwrap();
    let _told = (forward(caller_events, callee.clone()), forward(callee_events, caller.clone()));
    soon("sending", ours.send("from the caller")).await.unwrap();
    soon("sending", theirs.send("from the callee")).await.unwrap();
    assert_eq!(soon("a message", theirs.recv()).await, Some(Message::from("from the caller")));
    assert_eq!(soon("a message", ours.recv()).await, Some(Message::from("from the callee")));
    assert_eq!((ours.id(), ours.negotiated()), (Some(0), true));
}

/// Waits until the description has all candidates in it.
async fn gathered(connection: &PeerConnection, events: &mut Events) -> SessionDescription {
    loop {
        if let Some(Event::IceCandidate(None)) = soon("all candidates", events.recv()).await {
            return connection.local_description().unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_last_handle_closes_the_connection() {
    let (caller, mut from_caller) = PeerConnection::new(Configuration::default()).unwrap();
    let (callee, mut from_callee) = PeerConnection::new(Configuration::default()).unwrap();
    let init = DataChannelInit { negotiated: Some(7), ..DataChannelInit::default() };
    let ours = caller.create_data_channel("ours", init.clone()).unwrap();
    let theirs = callee.create_data_channel("theirs", init).unwrap();
    caller.set_local_description(None).await.unwrap();
    callee.set_remote_description(gathered(&caller, &mut from_caller).await).await.unwrap();
    callee.set_local_description(None).await.unwrap();
    caller.set_remote_description(gathered(&callee, &mut from_callee).await).await.unwrap();
    // A channel holds its connection.
    drop((caller, from_caller));
    soon("sending", ours.send("still here")).await.unwrap();
    assert_eq!(soon("a message", theirs.recv()).await, Some(Message::from("still here")));
    drop(ours);
    assert_eq!(soon("the end", theirs.recv()).await, None);
    soon("closing", callee.close()).await;
    while soon("the last event", from_callee.recv()).await.is_some() {}
}

#[tokio::test]
async fn a_garbage_description_is_one_clear_error() {
    let (connection, _events) = PeerConnection::new(Configuration::default()).unwrap();
    let error = connection.set_remote_description(SessionDescription::offer("garbage")).await.unwrap_err();
    assert!(matches!(error, Error::Peer(PeerError::InvalidDescription { .. })), "{error}");
    assert!(error.to_string().starts_with("the offer cannot be used"), "{error}");
    soon("closing", connection.close()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_fingerprint_is_one_clear_error() {
    let (caller, mut caller_events) = PeerConnection::new(Configuration::default()).unwrap();
    let (callee, callee_events) = PeerConnection::new(Configuration::default()).unwrap();
    let channel = caller.create_data_channel("never", DataChannelInit::default()).unwrap();
    callee.set_remote_description(caller.set_local_description(None).await.unwrap()).await.unwrap();
    let mut answer = callee.set_local_description(None).await.unwrap();
    let at = answer.sdp.find("a=fingerprint:sha-256 ").unwrap() + "a=fingerprint:sha-256 ".len();
    let wrong = if &answer.sdp[at..at + 2] == "00" { "01" } else { "00" };
    answer.sdp.replace_range(at..at + 2, wrong);
    caller.set_remote_description(answer).await.unwrap();
    let _told = forward(callee_events, caller.clone());
    let mut error = None;
    loop {
        match soon("the failure", caller_events.recv()).await.unwrap() {
            Event::IceCandidate(Some(candidate)) => {
                callee.add_ice_candidate(candidate.init).await.unwrap();
            }
            Event::Error(told) => error = Some(told),
            Event::ConnectionState(PeerConnectionState::Failed) => break,
            _ => {}
        }
    }
    assert_eq!(error, Some(PeerError::FingerprintMismatch));
    assert!(soon("the refusal", channel.send("secret")).await.is_err());
}

#[test]
fn without_a_runtime_there_is_an_error_and_no_panic() {
    assert_eq!(PeerConnection::new(Configuration::default()).map(|_| ()), Err(Error::NoRuntime));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_pool_is_filled_by_the_driver_and_handed_to_the_first_description() {
    let configuration = Configuration { ice_candidate_pool_size: 1, ..Configuration::default() };
    let (connection, _events) = PeerConnection::new(configuration.clone()).unwrap();
    let found = async {
        while connection.stats().transports[0].ice.local_candidates.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    soon("a candidate ahead of need", found).await;
    let none = Configuration::default();
    connection.set_configuration(none).unwrap();
    assert!(connection.stats().transports[0].ice.local_candidates.is_empty(), "who wants no pool has none");
    connection.set_configuration(configuration).unwrap();
    let found = async {
        while connection.stats().transports[0].ice.local_candidates.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    soon("another candidate", found).await;
    let _channel = connection.create_data_channel("a channel", DataChannelInit::default()).unwrap();
    connection.set_local_description(None).await.unwrap();
    assert!(connection.local_description().unwrap().sdp.contains("a=candidate:"), "it is there at once");
    assert!(connection.set_configuration(Configuration::default()).is_err());
}

#[tokio::test]
async fn what_a_channel_cannot_be_is_said() {
    let (connection, _events) = PeerConnection::new(Configuration::default()).unwrap();
    let refusal = |label: &str, init| match connection.create_data_channel(label, init) {
        Err(Error::Peer(PeerError::InvalidChannel { reason })) => reason,
        other => panic!("{other:?}"),
    };
    let negotiated = |stream| DataChannelInit { negotiated: Some(stream), ..DataChannelInit::default() };
    let long = "x".repeat(65_536);
    assert!(refusal(&long, DataChannelInit::default()).contains("65,535 bytes"));
    let protocol = DataChannelInit { protocol: long, ..DataChannelInit::default() };
    assert!(refusal("", protocol).contains("65,535 bytes"));
    let both = DataChannelInit {
        max_retransmits: Some(1),
        max_packet_life_time: Some(1),
        ..DataChannelInit::default()
    };
    assert!(refusal("", both).contains("exclude"));
    assert!(refusal("", negotiated(65_535)).contains("the highest is 65,534"));
    connection.create_data_channel("", negotiated(65_534)).unwrap();
    assert!(refusal("", negotiated(65_534)).contains("choose another"));
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_cannot_be_sent_are_refused_and_the_longest_names_arrive() {
    let (caller, mut callee, channel) = pair().await;
    let early = channel.try_send("too early");
    assert_eq!(early, Err(Error::Peer(PeerError::ChannelNotOpen)));
    soon("opening", channel.opened()).await.unwrap();
    let _first = callee.channel().await;
    let longest = 262_144;
    let too_long = Err(Error::Peer(PeerError::MessageTooLarge { size: longest + 1, limit: longest as u64 }));
    assert_eq!(channel.try_send(vec![0; longest + 1]), too_long);
    assert_eq!(soon("a refusal", channel.send(vec![0; longest + 1])).await, too_long);
    assert_eq!(channel.buffered_amount(), 0);
    channel.try_send(vec![0; longest]).unwrap();

    let (label, protocol) = ("l".repeat(65_535), "p".repeat(65_535));
    let init = DataChannelInit { protocol: protocol.clone(), ..DataChannelInit::default() };
    let named = caller.connection.create_data_channel(&label, init).unwrap();
    soon("sending", named.send("by its name")).await.unwrap();
    let other = callee.channel().await;
    assert!(other.label() == label && other.protocol() == protocol);
    assert_eq!(soon("a message", other.recv()).await, Some(Message::from("by its name")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_queued_when_a_channel_is_closed_still_arrives() {
    let (_caller, mut callee, channel) = pair().await;
    soon("opening", channel.opened()).await.unwrap();
    let other = callee.channel().await;
    for number in 0..40_u8 {
        channel.try_send(vec![number; 100_000]).unwrap();
    }
    assert!(channel.buffered_amount() > 0);
    channel.close();
    assert_eq!(channel.try_send("late"), Err(Error::Peer(PeerError::ChannelNotOpen)));
    for number in 0..40_u8 {
        assert_eq!(soon("a message", other.recv()).await, Some(Message::from(vec![number; 100_000])));
    }
    assert_eq!(soon("the end", other.recv()).await, None);
    soon("the end", channel.closed()).await.unwrap();
    assert_eq!(channel.buffered_amount(), 0);
    soon("the last of it", channel.buffered_amount_low(0)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_sent_is_not_said_to_have_been_sent() {
    let mut configuration = Configuration::default();
    configuration.data.receive_buffer = 1 << 19;
    let (caller, mut callee, channel) = pair_of(configuration).await;
    soon("opening", channel.opened()).await.unwrap();
    let _nobody_reads = callee.channel().await;
    for _ in 0..20 {
        channel.try_send(vec![0; 200_000]).unwrap();
    }
    let waiting = channel.clone();
    let waiting = tokio::spawn(async move { waiting.buffered_amount_low(0).await });
    soon("closing", caller.connection.close()).await;
    soon("the end", channel.closed()).await.unwrap();
    assert!(soon("an answer", waiting).await.unwrap().is_err());
    assert!(channel.buffered_amount() > 1_000_000, "it does not reset to zero");
    assert!(soon("an answer", channel.buffered_amount_low(0)).await.is_err());
}
