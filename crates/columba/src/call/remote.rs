//! One other participant: the connection to it, made and kept up.
//!
//! Of two peers the impolite one begins: it makes the first offer, and when a connection cannot go
//! on, it is the one that makes the next. It numbers them (`attempt`), and every message names its
//! number, so that what was meant for an earlier connection does not disturb a later one. The
//! polite one follows, and asks for a new attempt when it needs one.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use columba_peer::{CandidateKind, Configuration, Message, PeerConnectionState, SdpType, SignalingState};
use columba_signal::{LeaveReason, PeerId};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use super::events::{CallEvent, PeerEnd};
use super::link::{Link, LinkEvent, next_event};
use super::message::{CallMessage, Received};
use super::options::{CallMedia, CallTiming};
use super::post::{Delivery, Post};
use super::signaling::Signaling;
use super::state::{MAX_TEXT, Shared};
use super::timers::{Timer, Timers};
use crate::data_channel::DataChannel;
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::events::Event;

/// After so many ICE restarts in vain the whole connection is made anew.
const MAX_RESTARTS: u32 = 3;

/// Messages that wait for the first offer of their connection; the oldest is dropped first.
const MAX_EARLY: usize = 64;

/// A machine that is slow to connect gets up to so many times as much time.
const MAX_SLOWNESS: u32 = 4;

/// The largest number that browsers keep exactly.
const MAX_NUMBER: u64 = (1 << 53) - 1;

/// Says goodbye on the call's own channel.
const BYE: &str = r#"{"type":"bye"}"#;

const GO_ON: Flow = Flow::Continue(());

/// Commands to the task of a remote peer.
#[derive(Debug)]
pub(super) enum PeerCommand {
    /// The peer sent this through the signaling server.
    Signal(Received),
    /// Signaling reaches the peer (again); `anew`: messages may have been lost.
    Reachable { anew: bool },
    /// The server has sent fresh credentials for TURN.
    IceServers,
    /// Signaling does not reach the peer any more.
    Unreachable(LeaveReason),
    /// Close the connection, after the waiting texts have been sent, for which there is so much
    /// time.
    Leave(Duration),
}

/// The kind of a text on the call's own channel.
#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
}

/// The means of a peer's task.
pub(super) struct Means {
    pub(super) shared: Arc<Shared>,
    pub(super) signaling: Arc<dyn Signaling>,
    pub(super) configuration: Configuration,
    pub(super) endpoint: Option<Endpoint>,
    pub(super) direct_only: bool,
    pub(super) media: CallMedia,
    pub(super) timing: CallTiming,
    pub(super) post: Post,
    pub(super) own: PeerId,
    pub(super) peer: PeerId,
}

/// The end of a peer's task.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) peer: PeerId,
    /// `None` if this side has left.
    pub(super) end: Option<PeerEnd>,
    /// The number of the last connection; 0 if there was none.
    pub(super) attempt: u64,
}

/// Another participant.
pub(super) struct RemotePeer {
    peer: PeerId,
    shared: Arc<Shared>,
    signaling: Arc<dyn Signaling>,
    configuration: Configuration,
    endpoint: Option<Endpoint>,
    direct_only: bool,
    media: CallMedia,
    timing: CallTiming,
    post: Post,
    is_polite: bool,
    /// The number of the present connection; 0 before the first.
    attempt: u64,
    link: Option<Link>,
    /// Messages of a connection later than the present one, whose first offer is not here yet.
    early: VecDeque<(u64, CallMessage)>,
    timers: Timers,
    restarts: u32,
    /// Doubled by each connection that never came up.
    slowness: u32,
    came_up: bool,
    data_was_closed: bool,
    has_left: bool,
    /// True between `PeerConnected` and the loss of that connection.
    was_announced: bool,
    /// True if its interruption was announced.
    is_interrupted: bool,
}

/// The reason for a restart of ICE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    NotConnected,
    RelayIsGone,
}

type Flow = ControlFlow<Option<PeerEnd>>;

impl RemotePeer {
    pub(super) fn new(means: Means) -> Self {
        let Means { shared, signaling, configuration, endpoint, direct_only, media, timing, post, own, peer } =
            means;
        Self {
            peer,
            shared,
            signaling,
            configuration,
            endpoint,
            direct_only,
            media,
            timing,
            post,
            is_polite: own < peer,
            attempt: 0,
            link: None,
            early: VecDeque::new(),
            timers: Timers::default(),
            restarts: 0,
            slowness: 1,
            came_up: true,
            data_was_closed: false,
            has_left: false,
            was_announced: false,
            is_interrupted: false,
        }
    }

    /// Runs until the peer or this side has left.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<PeerCommand>) -> Ended {
        self.renew().await;
        self.watch();
        loop {
            let flow = match self.step(&mut commands).await {
                Ok(flow) => flow,
                Err(patience) => {
                    self.leave(patience, &mut commands).await;
                    Flow::Break(None)
                }
            };
            if let Flow::Break(end) = flow {
                self.shared.set_connection(self.peer, None);
                return Ended { peer: self.peer, end, attempt: self.attempt };
            }
        }
    }

    /// Waits for something, and does what follows from it; `Err` if this side leaves.
    async fn step(&mut self, commands: &mut mpsc::Receiver<PeerCommand>) -> Result<Flow, Duration> {
        let has_room = self.shared.has_room();
        let due = self.timers.due();
        let data = self.link.as_ref().and_then(Link::open_data).cloned();
        Ok(tokio::select! {
            command = commands.recv() => match command {
                Some(PeerCommand::Leave(patience)) => return Err(patience),
                Some(command) => self.handle_command(command),
                None => return Err(Duration::ZERO),
            },
            delivery = self.post.next(), if has_room => self.handle_delivery(delivery).await,
            event = next_event(&mut self.link), if has_room => self.handle_event(event).await,
            () = send_text(data, &self.shared, self.peer) => GO_ON,
            () = self.shared.room(), if !has_room => GO_ON,
            () = due => self.act().await,
        })
    }

    fn handle_command(&mut self, command: PeerCommand) -> Flow {
        match command {
            PeerCommand::Signal(received) => self.post.receive(received),
            PeerCommand::Reachable { anew } => {
                self.has_left = false;
                self.timers.clear(Timer::Absent);
                if anew {
                    self.send_again();
                    // A server that has lost its memory has lost its allocations, too, which ICE
                    // would only find out by silence.
                    if !self.is_polite {
                        self.timers.set(Timer::Relay, Duration::ZERO);
                    }
                }
                if !self.is_connected() {
                    self.watch();
                }
            }
            PeerCommand::IceServers => {
                if let Some(link) = &self.link {
                    // If they do not fit, the old ones may still do.
                    let _ = link.connection.set_configuration(self.configuration());
                }
            }
            PeerCommand::Unreachable(reason) => {
                // Half a minute of silence on both ways is long enough.
                let is_silent = reason == LeaveReason::Timeout && self.state() == PeerConnectionState::Failed;
                self.has_left |= reason == LeaveReason::Left || is_silent;
                self.timers.clear(Timer::Absent);
                return self.check_absence();
            }
            PeerCommand::Leave(_) => {}
        }
        GO_ON
    }

    async fn handle_delivery(&mut self, delivery: Delivery) -> Flow {
        let message = match delivery {
            Delivery::Message(message) if self.direct_only => message.without_relays(),
            Delivery::Message(message) => message,
            Delivery::Refused(error) => {
                self.shared.emit(CallEvent::SealRefused { peer: self.peer, error });
                return GO_ON;
            }
        };
        if message.bye == Some(true) {
            if self.link.as_ref().is_none_or(|link| link.open_data().is_none()) {
                return Flow::Break(Some(PeerEnd::Left));
            }
            // What was sent before on the connection comes first, and then its end.
            self.timers.set(Timer::Goodbye, self.timing.close);
            return GO_ON;
        }
        if let Some(attempt) = message.renew {
            self.renewal_asked(attempt).await;
            return GO_ON;
        }
        let Some(attempt) = message.attempt.filter(|number| *number <= MAX_NUMBER) else { return GO_ON };
        if self.is_polite && attempt > self.attempt {
            self.take_later(attempt, message).await;
        } else if attempt == self.attempt {
            self.negotiate(message).await;
        }
        GO_ON
    }

    /// Follows the first offer of a later connection. Anything else of it waits for that: a
    /// connection of which this side has forgotten the offer, because it was started again or had
    /// given the peer up, would never come up.
    async fn take_later(&mut self, attempt: u64, message: CallMessage) {
        let is_offer = message.description.as_ref().is_some_and(|it| it.kind == SdpType::Offer);
        if !is_offer {
            self.early.push_back((attempt, message));
            if self.early.len() > MAX_EARLY {
                self.early.pop_front();
            }
            return;
        }
        self.open(attempt);
        self.negotiate(message).await;
        for (number, message) in std::mem::take(&mut self.early) {
            match number.cmp(&attempt) {
                Ordering::Less => {}
                Ordering::Equal => self.negotiate(message).await,
                Ordering::Greater => self.early.push_back((number, message)),
            }
        }
    }

    /// Takes a message of the present connection.
    async fn negotiate(&mut self, message: CallMessage) {
        let is_description = message.description.is_some();
        if let Some(link) = &mut self.link {
            let answer = link.negotiation.take(&link.connection, message).await;
            self.send_or_fail(answer);
        }
        if is_description {
            self.watch();
        }
    }

    /// A new connection, because there is none or the present one cannot go on: the impolite side
    /// makes it, the polite one asks for it.
    async fn renew(&mut self) {
        if !self.is_polite {
            // It grows over calls on the same channel as well, because the clock does.
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let clock = u64::try_from(now.as_millis()).unwrap_or_default();
            self.open(clock.max(self.attempt.saturating_add(1)));
        } else if self.link.is_some() {
            self.post.send(CallMessage::renew(self.attempt));
        } else {
            self.timers.set(Timer::Ask, self.timing.patience);
        }
    }

    /// The polite side needs a new connection (`attempt` is the last that it knows), or knows none
    /// (0). Such a message may be late, or come twice: one that the present connection contradicts
    /// is only answered with what may have been lost.
    async fn renewal_asked(&mut self, attempt: u64) {
        if self.is_polite {
            return;
        }
        // Its number is greater where the clock of this side was set back.
        if attempt > self.attempt && attempt < MAX_NUMBER {
            self.attempt = attempt;
        }
        if attempt == self.attempt || (attempt == 0 && !self.is_in_use()) {
            self.renew().await;
        } else {
            self.send_again();
        }
    }

    /// Returns whether the connection is being made, or is up.
    fn is_in_use(&self) -> bool {
        let is_alive = matches!(
            self.state(),
            PeerConnectionState::New | PeerConnectionState::Connecting | PeerConnectionState::Connected
        );
        self.link.is_some() && is_alive && !self.data_was_closed
    }

    fn open(&mut self, attempt: u64) {
        self.link = None;
        self.shared.set_connection(self.peer, None);
        self.interrupted();
        self.was_announced = false;
        self.timers.clear_all();
        self.attempt = attempt;
        if !std::mem::replace(&mut self.came_up, false) {
            self.slowness = (2 * self.slowness).min(MAX_SLOWNESS);
        }
        self.restarts = 0;
        self.data_was_closed = false;
        let (configuration, endpoint) = (self.configuration(), self.endpoint.clone());
        match Link::new(configuration, endpoint, &self.media, self.is_polite) {
            Ok(link) => self.link = Some(link),
            Err(error) => {
                self.failed(&error);
                self.timers.set(Timer::Renew, self.timing.retry);
            }
        }
        self.watch();
    }

    /// Keeps an eye on a connection that is not up: repeats, restarts and finally renews.
    fn watch(&mut self) {
        if !self.timers.is_set(Timer::SendAgain) {
            self.timers.set(Timer::SendAgain, self.timing.send_again);
        }
        let is_watched = self.timers.is_set(Timer::Retry) || self.timers.is_set(Timer::Restart);
        if !self.is_connected() && !is_watched {
            self.retry_later();
        }
    }

    fn retry_later(&mut self) {
        self.timers.set(Timer::Retry, self.timing.retry * self.slowness);
    }

    /// Does what is due.
    async fn act(&mut self) -> Flow {
        while let Some(timer) = self.timers.take_due() {
            self.fire(timer).await?;
        }
        GO_ON
    }

    async fn fire(&mut self, timer: Timer) -> Flow {
        let is_reachable = self.is_reachable();
        match timer {
            Timer::Ask if self.link.is_none() => {
                if is_reachable {
                    // If the other side is at a connection already, it is one whose offer this
                    // side does not have: it cannot go on, whatever the other side thinks of it.
                    let known = self.early.iter().map(|(attempt, _)| *attempt).max();
                    self.post.send(CallMessage::renew(known.unwrap_or_default()));
                }
                self.timers.set(Timer::Ask, self.timing.send_again);
            }
            Timer::SendAgain => {
                if self.waits_for_answer() {
                    if is_reachable {
                        self.send_again();
                    }
                    self.timers.set(Timer::SendAgain, self.timing.send_again);
                }
            }
            Timer::Retry if !self.is_connected() => self.retry(is_reachable).await,
            Timer::Restart if !self.is_connected() => self.restart(Why::NotConnected).await,
            Timer::Relay if self.is_relayed() => self.restart(Why::RelayIsGone).await,
            Timer::Disconnected => self.recover(),
            Timer::Goodbye => return Flow::Break(Some(PeerEnd::Left)),
            Timer::Renew => {
                // Until it can be said, and heard: the polite side asks until it has another one.
                self.timers.set(Timer::Renew, self.timing.send_again);
                if is_reachable {
                    self.renew().await;
                }
            }
            Timer::Absent if !is_reachable && !self.is_connected() => {
                // While the server is away no peer is reachable, which shows nothing about this
                // one.
                if self.signaling.is_settled() {
                    return Flow::Break(Some(PeerEnd::Vanished));
                }
                return self.check_absence();
            }
            Timer::Ask | Timer::Retry | Timer::Restart | Timer::Relay | Timer::Absent => {}
        }
        GO_ON
    }

    async fn retry(&mut self, is_reachable: bool) {
        if !is_reachable {
            self.retry_later();
        } else if self.link.is_none() {
        } else if self.restarts < MAX_RESTARTS {
            self.restart(Why::NotConnected).await;
        } else {
            // The polite side asks again, until it has another connection.
            self.renew().await;
            self.watch();
        }
    }

    /// Restarts ICE soon; the polite side leaves it to the other for a moment.
    fn recover(&mut self) {
        if !self.is_connected() {
            self.timers.clear(Timer::Retry);
            let delay = if self.is_polite { self.timing.polite } else { Duration::ZERO };
            self.timers.set(Timer::Restart, delay);
        }
    }

    /// Restarts ICE, with fresh TURN credentials, because the old ones may have ended.
    async fn restart(&mut self, why: Why) {
        let Some(link) = &self.link else { return };
        let connection = link.connection.clone();
        self.restarts += 1;
        self.retry_later();
        // Without fresh ones the old ones may still do.
        let _ = self.signaling.refresh_ice_servers().await;
        let _ = connection.set_configuration(self.configuration());
        // It may have come up meanwhile. An offer that has no answer is sent again: a restart
        // behind it would only undo what its answer begins.
        let is_needed = !self.is_connected() && !self.waits_for_answer();
        if is_needed || why == Why::RelayIsGone {
            connection.restart_ice();
        }
        self.watch();
    }

    /// Returns whether an own offer has no answer yet.
    fn waits_for_answer(&self) -> bool {
        let waits = |link: &Link| link.connection.signaling_state() == SignalingState::HaveLocalOffer;
        self.link.as_ref().is_some_and(waits)
    }

    async fn handle_event(&mut self, event: LinkEvent) -> Flow {
        match event {
            LinkEvent::Event(event) => return self.handle_connection_event(event).await,
            LinkEvent::DataOpen => {
                if let Some(link) = &self.link {
                    let (peer, connection) = (self.peer, link.connection.clone());
                    self.was_announced = true;
                    self.is_interrupted = false;
                    self.shared.set_connection(peer, Some(connection.clone()));
                    self.shared.emit(CallEvent::PeerConnected { peer, connection });
                }
            }
            LinkEvent::Data(Message::Text(text)) => return self.handle_text(text),
            LinkEvent::Data(Message::Binary(_)) => {}
            LinkEvent::DataOver => {
                // It leaves, or makes a new connection.
                self.data_was_closed = true;
                if self.timers.is_set(Timer::Goodbye) {
                    return Flow::Break(Some(PeerEnd::Left));
                }
                self.interrupted();
                self.check_absence()?;
                self.timers.set(Timer::Renew, self.timing.disconnected);
            }
        }
        GO_ON
    }

    async fn handle_connection_event(&mut self, event: Event) -> Flow {
        let Some(link) = &mut self.link else { return GO_ON };
        match event {
            Event::NegotiationNeeded => {
                let offer = link.negotiation.needed(&link.connection).await;
                self.send_or_fail(offer);
            }
            Event::IceCandidate(Some(candidate)) => {
                let message = link.negotiation.found(&link.connection, candidate.init);
                self.send_or_fail(Ok(Some(message)));
            }
            Event::ConnectionState(state) => return self.state_changed(state),
            // What was agreed has all of the time to come up.
            Event::SignalingState(SignalingState::Stable) if !self.is_connected() => {
                self.timers.clear(Timer::Restart);
                self.retry_later();
            }
            Event::DataChannel(channel) => {
                self.shared.emit(CallEvent::ChannelOpened { peer: self.peer, channel });
            }
            Event::Track(track) if self.media.receives => {
                self.shared.emit(CallEvent::TrackAdded { peer: self.peer, track });
            }
            Event::Error(error) => self.failed(&error.into()),
            // A task of the link serves the call's own channel, and ICE restarts by itself where
            // that is wanted.
            Event::SignalingState(_)
            | Event::IceGatheringState(_)
            | Event::IceConnectionState(_)
            | Event::IceTransportState(..)
            | Event::IceTransportGatheringState(..)
            | Event::DtlsState(..)
            | Event::SctpState(_)
            | Event::IceCandidate(None)
            | Event::IceCandidateError(_)
            | Event::SelectedCandidatePair(..)
            | Event::IceRestartWanted
            | Event::Track(_)
            | Event::TrackMuted(_)
            | Event::TrackUnmuted(_)
            | Event::TrackRemoved(..)
            | Event::TrackEnded(_)
            | Event::ChannelOpen(_)
            | Event::ChannelReadable(_)
            | Event::BufferedAmountLow(..)
            | Event::ChannelClosing(_)
            | Event::ChannelError(..)
            | Event::ChannelClosed(_) => {}
        }
        GO_ON
    }

    fn state_changed(&mut self, state: PeerConnectionState) -> Flow {
        match state {
            PeerConnectionState::Connected => {
                self.restarts = 0;
                self.slowness = 1;
                self.came_up = true;
                for timer in [Timer::Disconnected, Timer::Retry, Timer::Restart, Timer::Absent] {
                    self.timers.clear(timer);
                }
                if std::mem::take(&mut self.is_interrupted) {
                    self.shared.emit(CallEvent::PeerRestored { peer: self.peer });
                }
                return GO_ON;
            }
            PeerConnectionState::Disconnected => {
                self.interrupted();
                self.timers.set(Timer::Disconnected, self.timing.disconnected);
            }
            PeerConnectionState::Failed => {
                self.interrupted();
                self.timers.clear(Timer::Disconnected);
                self.recover();
            }
            _ => {}
        }
        self.check_absence()
    }

    /// Announces the interruption of a connection that was announced.
    fn interrupted(&mut self) {
        if self.was_announced && !std::mem::replace(&mut self.is_interrupted, true) {
            self.shared.emit(CallEvent::PeerInterrupted { peer: self.peer });
        }
    }

    fn failed(&self, error: &Error) {
        self.shared.emit(CallEvent::PeerFailed { peer: self.peer, error: error.to_string() });
    }

    fn handle_text(&self, text: String) -> Flow {
        if text.len() > MAX_TEXT {
            return GO_ON;
        }
        if serde_json::from_str::<Kind<'_>>(&text).is_ok_and(|text| text.kind == "bye") {
            return Flow::Break(Some(PeerEnd::Left));
        }
        self.shared.emit(CallEvent::Message { peer: self.peer, text });
        GO_ON
    }

    /// Leaves: waits until the waiting texts are sent, says goodbye, and closes the connection.
    async fn leave(&mut self, patience: Duration, commands: &mut mpsc::Receiver<PeerCommand>) {
        let deadline = Instant::now() + patience;
        while self.shared.has_texts(self.peer) {
            match timeout_at(deadline, self.step(commands)).await {
                Ok(Ok(Flow::Continue(()))) => {}
                Ok(Ok(Flow::Break(_)) | Err(_)) | Err(_) => break,
            }
        }
        let close = self.timing.close;
        if let Some(link) = self.link.take() {
            if let Some(data) = link.open_data() {
                let _ = timeout(close, data.send(BYE)).await;
            }
            // The channel is closed when the other side has everything.
            link.data.close();
            let _ = timeout(close, link.data.closed()).await;
            let _ = timeout(close, link.connection.close()).await;
        }
        // For a peer to which no connection was made, or whose connection is interrupted. It comes
        // last: it must not overtake what goes over the connection.
        self.post.send(CallMessage::bye());
        let _ = timeout(close, self.post.flush()).await;
    }

    /// A peer that the server does not know any more stays as long as a connection reaches it, and
    /// a little longer.
    fn check_absence(&mut self) -> Flow {
        if self.is_reachable() || self.is_connected() {
            self.timers.clear(Timer::Absent);
        } else if self.has_left && self.signaling.is_settled() {
            return Flow::Break(Some(PeerEnd::Left));
        } else if self.data_was_closed && self.signaling.is_settled() {
            return Flow::Break(Some(PeerEnd::Vanished));
        } else if !self.timers.is_set(Timer::Absent) {
            self.timers.set(Timer::Absent, self.timing.absent);
        }
        GO_ON
    }

    fn send_again(&mut self) {
        let Some(link) = &self.link else { return };
        for message in link.negotiation.messages_again(&link.connection) {
            self.post.send(CallMessage { attempt: Some(self.attempt), ..message });
        }
    }

    /// Sends the message of the negotiation; if it has failed, the connection is made anew in a
    /// while.
    fn send_or_fail(&mut self, outcome: Result<Option<CallMessage>, Error>) {
        match outcome {
            Ok(Some(message)) => {
                self.post.send(CallMessage { attempt: Some(self.attempt), ..message });
            }
            Ok(None) => {}
            Err(error) => {
                self.failed(&error);
                self.timers.set(Timer::Renew, self.timing.patience);
            }
        }
    }

    fn configuration(&self) -> Configuration {
        let mut configuration = self.configuration.clone();
        configuration.ice_servers.extend(self.signaling.ice_servers().servers);
        if self.direct_only {
            for server in &mut configuration.ice_servers {
                server.urls.retain(|url| !url.starts_with("turn"));
            }
            configuration.ice_servers.retain(|server| !server.urls.is_empty());
        }
        // Restarts wait for fresh TURN credentials.
        configuration.automatic_ice_restart = false;
        configuration
    }

    fn state(&self) -> PeerConnectionState {
        self.link.as_ref().map_or(PeerConnectionState::New, |link| link.connection.connection_state())
    }

    fn is_connected(&self) -> bool {
        self.state() == PeerConnectionState::Connected && !self.data_was_closed
    }

    /// Returns whether the path goes over a relay of either side.
    fn is_relayed(&self) -> bool {
        let Some(link) = &self.link else { return false };
        let transports = link.connection.transports();
        let mut pairs =
            transports.into_iter().filter_map(|id| link.connection.ice_transport(id)?.selected_pair);
        pairs.any(|pair| [&pair.local, &pair.remote].iter().any(|end| end.kind == CandidateKind::Relayed))
    }

    fn is_reachable(&self) -> bool {
        self.signaling.is_reachable(self.peer)
    }
}

/// Sends the next text that waits for this peer, once there is one and the channel takes it.
async fn send_text(data: Option<DataChannel>, shared: &Shared, peer: PeerId) {
    let Some(data) = data else { return std::future::pending().await };
    let text = shared.first_text(peer).await;
    if data.send(text).await.is_err() {
        // The channel is closed, which comes as an event as well.
        return std::future::pending().await;
    }
    shared.take_text(peer);
}
