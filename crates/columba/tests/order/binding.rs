//! A binding to the W3C's interface as small as it can be: it runs each task of the events, makes
//! visible what the task changes, and then fires the events, of which it keeps a line each.

use std::collections::{BTreeMap, VecDeque};
use std::ops::{Index, IndexMut};

use columba::{
    Configuration, DataChannel, DataChannelInit, Event, Events, IceGatheringState, PeerConnection,
    PeerConnectionState, SessionDescription,
};

use crate::common::soon;

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Caller,
    Callee,
}

impl Side {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Caller => Self::Callee,
            Self::Callee => Self::Caller,
        }
    }
}

/// The values that a page would see.
#[derive(Debug)]
struct Visible {
    signaling: String,
    gathering: String,
    ice: String,
    connection: String,
    transport_gathering: String,
    transport: String,
    dtls: String,
    sctp: String,
    channel: String,
}

/// A connection as a page has it.
pub(crate) struct Binding {
    pub(crate) connection: PeerConnection,
    events: Events,
    visible: Visible,
    channel: Option<DataChannel>,
    /// Tasks behind the one that settles a promise.
    waiting: VecDeque<Vec<Event>>,
    /// The other side has sent tracks.
    has_tracks: bool,
    lines: Vec<String>,
}

/// The W3C's word of a state.
fn word(state: impl std::fmt::Debug) -> String {
    let mut word = String::new();
    for letter in format!("{state:?}").chars() {
        if letter.is_uppercase() && !word.is_empty() {
            word.push('-');
        }
        word.extend(letter.to_lowercase());
    }
    word
}

impl Binding {
    fn new() -> Self {
        let (connection, events) = PeerConnection::new(Configuration::default()).unwrap();
        let visible = Visible {
            signaling: word(connection.signaling_state()),
            gathering: word(connection.ice_gathering_state()),
            ice: word(connection.ice_connection_state()),
            connection: word(connection.connection_state()),
            transport_gathering: "-".to_owned(),
            transport: "-".to_owned(),
            dtls: "-".to_owned(),
            sctp: "-".to_owned(),
            channel: "-".to_owned(),
        };
        Self {
            connection,
            events,
            visible,
            channel: None,
            waiting: VecDeque::new(),
            has_tracks: false,
            lines: Vec::new(),
        }
    }

    fn tell(&mut self, event: &str) {
        let Visible {
            signaling,
            gathering,
            ice,
            connection,
            transport_gathering,
            transport,
            dtls,
            sctp,
            channel,
        } = &self.visible;
        let whole = format!("{signaling} {gathering} {ice} {connection}");
        let objects = format!("{transport_gathering} {transport} {dtls} {sctp} {channel}");
        self.lines.push(format!("{event} | {whole} {objects}"));
    }

    pub(crate) fn times_told(&self, event: &str) -> usize {
        self.lines.iter().filter(|line| line.split(" | ").next() == Some(event)).count()
    }

    pub(crate) fn has_told(&self, event: &str) -> bool {
        self.times_told(event) > 0
    }

    pub(crate) fn is_gathered(&self) -> bool {
        self.visible.gathering == word(IceGatheringState::Complete)
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.visible.connection == word(PeerConnectionState::Connected)
    }

    pub(crate) fn open(&mut self, label: &str) {
        self.channel = Some(self.connection.create_data_channel(label, DataChannelInit::default()).unwrap());
        self.visible.channel = "connecting".to_owned();
    }

    pub(crate) fn send(&mut self) {
        self.send_untold();
        self.tell("send returned");
    }

    pub(crate) fn send_untold(&mut self) {
        self.channel.as_ref().unwrap().try_send("coo").unwrap();
    }

    pub(crate) fn close_channel(&mut self) {
        self.channel.as_ref().unwrap().close();
        self.visible.channel = "closing".to_owned();
        self.tell("close returned");
    }

    /// W3C `close`: all of it is visible at once, and nothing is fired.
    pub(crate) async fn close(&mut self) {
        self.connection.close().await;
        let connection = &self.connection;
        self.visible = Visible {
            signaling: word(connection.signaling_state()),
            gathering: word(connection.ice_gathering_state()),
            ice: word(connection.ice_connection_state()),
            connection: word(connection.connection_state()),
            transport_gathering: self.visible.transport_gathering.clone(),
            transport: "closed".to_owned(),
            dtls: "closed".to_owned(),
            sctp: "closed".to_owned(),
            channel: word(self.channel.as_ref().unwrap().state()),
        };
        self.tell("close returned");
        self.run_tasks();
    }

    pub(crate) async fn set_local(&mut self, what: &str, description: Option<SessionDescription>) {
        self.tell(&format!("setLocalDescription({what}) called"));
        let operation = self.connection.set_local_description(description);
        self.run_description();
        operation.await.unwrap();
        self.tell(&format!("setLocalDescription({what}) resolved"));
        self.run_tasks();
    }

    pub(crate) async fn set_remote(&mut self, what: &str, description: SessionDescription) {
        self.tell(&format!("setRemoteDescription({what}) called"));
        let operation = self.connection.set_remote_description(description);
        self.run_description();
        operation.await.unwrap();
        self.tell(&format!("setRemoteDescription({what}) resolved"));
        self.run_tasks();
    }

    /// Runs the tasks until the last of the description that was set. Those behind it wait.
    fn run_description(&mut self) {
        let tasks: Vec<_> = std::iter::from_fn(|| self.events.try_recv_task()).collect();
        let is_it = |task: &Vec<Event>| task.iter().any(|event| matches!(event, Event::SignalingState(_)));
        let last = tasks.iter().rposition(is_it).map_or(0, |index| index + 1);
        for (index, task) in tasks.into_iter().enumerate() {
            if index < last {
                self.run_task(task);
            } else {
                self.waiting.push_back(task);
            }
        }
    }

    fn run_tasks(&mut self) {
        while let Some(task) = self.waiting.pop_front().or_else(|| self.events.try_recv_task()) {
            self.run_task(task);
        }
    }

    fn run_task(&mut self, task: Vec<Event>) {
        task.iter().for_each(|event| self.show(event));
        task.into_iter().for_each(|event| self.fire(event));
    }

    /// Makes visible what an event says.
    fn show(&mut self, event: &Event) {
        let visible = &mut self.visible;
        match event {
            Event::SignalingState(state) => {
                visible.signaling = word(state);
                // The objects that the description brings, or takes.
                if self.connection.sctp().is_none() {
                    [&mut visible.transport_gathering, &mut visible.transport, &mut visible.dtls]
                        .into_iter()
                        .chain([&mut visible.sctp])
                        .for_each(|state| "-".clone_into(state));
                } else if visible.sctp == "-" {
                    [&mut visible.transport_gathering, &mut visible.transport, &mut visible.dtls]
                        .into_iter()
                        .for_each(|state| "new".clone_into(state));
                    "connecting".clone_into(&mut visible.sctp);
                }
            }
            Event::IceConnectionState(state) => visible.ice = word(state),
            Event::ConnectionState(state) => visible.connection = word(state),
            Event::IceGatheringState(state) => visible.gathering = word(state),
            Event::IceTransportState(_, state) => visible.transport = word(state),
            Event::IceTransportGatheringState(_, state) => visible.transport_gathering = word(state),
            Event::DtlsState(_, state) => visible.dtls = word(state),
            Event::SctpState(state) => visible.sctp = word(state),
            Event::DataChannel(channel) => {
                self.channel = Some(channel.clone());
                visible.channel = "open".to_owned();
            }
            Event::ChannelOpen(_) => visible.channel = "open".to_owned(),
            Event::ChannelClosing(_) => visible.channel = "closing".to_owned(),
            Event::ChannelClosed(_) => visible.channel = "closed".to_owned(),
            _ => {}
        }
    }

    fn fire(&mut self, event: Event) {
        match event {
            Event::NegotiationNeeded => self.tell("negotiationneeded"),
            Event::SignalingState(_) => self.tell("signalingstatechange"),
            Event::IceGatheringState(_) => self.tell("icegatheringstatechange"),
            Event::IceTransportState(..) => self.tell("ice statechange"),
            Event::IceTransportGatheringState(..) => self.tell("ice gatheringstatechange"),
            Event::SelectedCandidatePair(..) => self.tell("ice selectedcandidatepairchange"),
            Event::IceConnectionState(_) => self.tell("iceconnectionstatechange"),
            Event::ConnectionState(_) => self.tell("connectionstatechange"),
            Event::DtlsState(..) => self.tell("dtls statechange"),
            Event::SctpState(_) => self.tell("sctp statechange"),
            Event::IceCandidate(None) => self.tell("icecandidate null"),
            Event::IceCandidate(Some(one)) if one.init.candidate.is_empty() => self.tell("icecandidate end"),
            Event::IceCandidate(Some(_)) => self.tell("icecandidate"),
            Event::Track(added) => {
                // No packet has come: it is muted from the beginning, and stays so.
                self.has_tracks = true;
                self.tell(&format!("track {} {} muted", added.track.kind, added.streams.len()));
            }
            Event::TrackRemoved(..) => self.tell("stream removetrack"),
            // The page of the recordings listens to tracks that it was told of.
            Event::TrackEnded(_) if self.has_tracks => self.tell("track ended"),
            Event::DataChannel(_) => {
                self.tell("datachannel");
                // W3C "announce the data channel as open", in a task of its own.
                self.tell("channel open");
            }
            Event::ChannelOpen(_) => self.tell("channel open"),
            Event::ChannelReadable(channel) => {
                while channel.try_recv().is_some() {
                    self.tell("channel message");
                }
            }
            Event::BufferedAmountLow(_, waiting) => {
                assert_eq!(waiting, 0);
                self.tell("channel bufferedamountlow");
            }
            Event::ChannelClosing(_) => self.tell("channel closing"),
            Event::ChannelError(..) => self.tell("channel error"),
            Event::ChannelClosed(_) => self.tell("channel close"),
            Event::Error(error) => panic!("{error}"),
            _ => {}
        }
    }
}

/// Both sides, and what they have told.
pub(crate) struct Sides {
    both: [Binding; 2],
    section: String,
    sections: BTreeMap<String, BTreeMap<String, Vec<String>>>,
}

impl Index<Side> for Sides {
    type Output = Binding;

    fn index(&self, side: Side) -> &Binding {
        &self.both[side as usize]
    }
}

impl IndexMut<Side> for Sides {
    fn index_mut(&mut self, side: Side) -> &mut Binding {
        &mut self.both[side as usize]
    }
}

impl Sides {
    pub(crate) fn new() -> Self {
        Self { both: [Binding::new(), Binding::new()], section: String::new(), sections: BTreeMap::new() }
    }

    pub(crate) fn each(&self, is_so: impl Fn(&Binding) -> bool) -> bool {
        self.both.iter().all(is_so)
    }

    /// Runs the tasks of both until this is so.
    pub(crate) async fn until(&mut self, is_so: impl Fn(&Self) -> bool) {
        let wait = async {
            while !is_so(self) {
                self.both.iter_mut().for_each(Binding::run_tasks);
                tokio::task::yield_now().await;
            }
        };
        soon("what the section waits for", wait).await;
    }

    /// Begins a section; what was told since the last begins none, and is its own.
    pub(crate) fn begin(&mut self, section: &str) {
        self.both.iter_mut().for_each(Binding::run_tasks);
        self.keep();
        section.clone_into(&mut self.section);
    }

    fn keep(&mut self) {
        let told = ["caller", "callee"].iter().zip(&mut self.both);
        let lines = told.map(|(name, one)| ((*name).to_owned(), std::mem::take(&mut one.lines))).collect();
        self.sections.insert(std::mem::take(&mut self.section), lines);
    }

    pub(crate) fn into_sections(mut self) -> BTreeMap<String, BTreeMap<String, Vec<String>>> {
        self.begin("");
        self.sections.remove("");
        self.sections
    }
}
