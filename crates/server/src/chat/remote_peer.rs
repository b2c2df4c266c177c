//! One other participant: the connection to it, made and kept up as the call page does it.
//!
//! Of two peers the impolite one begins: it makes the first offer, and when a connection cannot go
//! on, it is the one that makes the next. It numbers them (`attempt`), and every message names its
//! number, so that what was meant for an earlier connection does not disturb a later one. The
//! polite one follows, and asks for a new attempt when it needs one.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::time::{Duration, SystemTime};

use columba::signaling::{IceServers, LeaveReason, PeerId, SignalingChannel};
use columba::{
    Configuration, DataChannel, DataChannelInit, Error, Event, Events, Message, PeerConnection,
    PeerConnectionState, SignalingState,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::message::{CallMessage, DataMessage};
use super::negotiation::Negotiation;
use super::screen;

/// The time for which the polite side waits for the first offer before it asks for it, and the
/// pause after a failed negotiation.
const PATIENCE: Duration = Duration::from_secs(3);

/// The time for which a connection may stay disconnected before ICE is restarted.
const DISCONNECTED: Duration = Duration::from_secs(5);

/// The delay of the polite side, so that both do not restart at once.
const POLITE: Duration = Duration::from_millis(1500);

/// The time in which a connection must come up before the next attempt.
const RETRY: Duration = Duration::from_secs(12);

/// The time for which an offer waits for its answer before it is sent again.
const SEND_AGAIN: Duration = Duration::from_secs(5);

/// The time for which a peer that neither the server nor a connection reaches is kept.
const ABSENT: Duration = Duration::from_secs(15);

/// The time for each step of closing a connection.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// After so many ICE restarts in vain the whole connection is made anew.
const MAX_RESTARTS: u32 = 3;

/// Lines that wait for the data channel; the oldest is dropped first.
const MAX_WAITING: usize = 50;

const TIMERS: [Timer; 7] = [
    Timer::Ask,
    Timer::SendAgain,
    Timer::Retry,
    Timer::Restart,
    Timer::Disconnected,
    Timer::Renew,
    Timer::Absent,
];

const GO_ON: Flow = Flow::Continue(());

/// Commands to the task of a remote peer.
#[derive(Debug)]
pub(super) enum PeerCommand {
    /// The peer sent this through the signaling server.
    Signal(CallMessage),
    /// Send this line.
    Chat(String),
    /// Signaling reaches the peer (again); `anew`: messages may have been lost.
    Reachable { anew: bool },
    /// The server has sent fresh credentials for TURN.
    IceServers,
    /// Signaling does not reach the peer any more.
    Unreachable(LeaveReason),
    /// Close the connection, after the waiting lines have been sent, for which there is so much
    /// time.
    Leave(Duration),
}

/// The end of a remote peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    /// The peer left.
    Left,
    /// Nothing reaches it.
    Vanished,
    /// This side left; so many lines were never sent.
    Parted { unsent: usize },
}

/// The timers of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timer {
    /// Ask for the first offer.
    Ask,
    /// An offer has waited for its answer.
    SendAgain,
    /// The connection should have come up.
    Retry,
    /// Restart ICE, if it is still needed.
    Restart,
    /// The connection has been disconnected for a while.
    Disconnected,
    /// Make the connection anew.
    Renew,
    /// The peer has been out of reach for a while.
    Absent,
}

/// One connection, with its data channel.
struct Link {
    connection: PeerConnection,
    events: Events,
    data: DataChannel,
    negotiation: Negotiation,
    data_is_open: bool,
    data_is_over: bool,
    is_over: bool,
}

/// The events of a connection.
enum ConnectionEvent {
    Event(Event),
    Over,
    DataOpen,
    Data(Message),
    DataOver,
}

/// Another participant.
pub(super) struct RemotePeer {
    peer: PeerId,
    channel: SignalingChannel,
    own_name: String,
    /// The name that is shown for it.
    name: String,
    is_polite: bool,
    /// The number of the present connection; 0 before the first.
    attempt: u64,
    link: Option<Link>,
    waiting: VecDeque<String>,
    timers: [Option<Instant>; TIMERS.len()],
    restarts: u32,
    data_was_closed: bool,
    has_left: bool,
    was_announced: bool,
    /// True if the interruption of the connection was shown.
    is_interrupted: bool,
}

type Flow = ControlFlow<Gone>;

impl RemotePeer {
    /// `name` is shown until the peer sends its own.
    pub(super) fn new(channel: SignalingChannel, peer: PeerId, own_name: &str, name: String) -> Self {
        Self {
            is_polite: channel.peer_id().is_some_and(|own| own < peer),
            channel,
            peer,
            own_name: own_name.to_owned(),
            name,
            attempt: 0,
            link: None,
            waiting: VecDeque::new(),
            timers: [None; TIMERS.len()],
            restarts: 0,
            data_was_closed: false,
            has_left: false,
            was_announced: false,
            is_interrupted: false,
        }
    }

    /// Runs until the peer or this side has left.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<PeerCommand>) -> (PeerId, Gone) {
        self.renew().await;
        self.watch();
        let gone = loop {
            let timer = self.timers.iter().flatten().min().copied();
            let flow = tokio::select! {
                command = commands.recv() => match command {
                    Some(PeerCommand::Leave(patience)) => break self.leave(patience, &mut commands).await,
                    Some(command) => self.handle_command(command).await,
                    None => break self.leave(Duration::ZERO, &mut commands).await,
                },
                event = next_event(&mut self.link) => self.handle_event(event).await,
                () = until(timer) => self.act().await,
            };
            if let Flow::Break(gone) = flow {
                break gone;
            }
        };
        self.announce_end(gone);
        (self.peer, gone)
    }

    fn announce_end(&self, gone: Gone) {
        match gone {
            Gone::Left if self.was_announced => screen::note(&format!("{} has left.", self.name)),
            Gone::Vanished if self.was_announced => {
                screen::note(&format!(
                    "{} has vanished: neither the server nor a connection reaches it.",
                    self.name
                ));
            }
            Gone::Vanished => screen::note(&format!("{} went away before a connection was made.", self.name)),
            Gone::Left | Gone::Parted { .. } => {}
        }
    }

    async fn handle_command(&mut self, command: PeerCommand) -> Flow {
        match command {
            PeerCommand::Signal(message) => return self.handle_signal(message).await,
            PeerCommand::Chat(text) => self.send_chat(text).await,
            PeerCommand::Reachable { anew } => {
                self.has_left = false;
                self.clear(Timer::Absent);
                if anew {
                    self.send_again();
                }
                if !self.is_connected() {
                    self.watch();
                }
            }
            PeerCommand::IceServers => {
                if let Some(link) = &self.link {
                    // If they do not fit, the old ones may still do.
                    let _ = link.connection.set_configuration(configuration(self.channel.ice_servers()));
                }
            }
            PeerCommand::Unreachable(reason) => {
                // Half a minute of silence on both ways is long enough.
                let is_silent = reason == LeaveReason::Timeout && self.state() == PeerConnectionState::Failed;
                self.has_left |= reason == LeaveReason::Left || is_silent;
                self.clear(Timer::Absent);
                return self.check_absence();
            }
            PeerCommand::Leave(_) => {}
        }
        GO_ON
    }

    async fn handle_signal(&mut self, message: CallMessage) -> Flow {
        if message.bye == Some(true) {
            return Flow::Break(Gone::Left);
        }
        if let Some(attempt) = message.renew {
            self.renewal_asked(attempt).await;
            return GO_ON;
        }
        let Some(attempt) = message.attempt else { return GO_ON };
        if self.is_polite && attempt > self.attempt {
            self.open(attempt).await;
        }
        if attempt != self.attempt {
            return GO_ON;
        }
        let is_description = message.description.is_some();
        if let Some(link) = &mut self.link {
            let answer = link.negotiation.take(&link.connection, message).await;
            self.send_or_fail(answer);
        }
        if is_description {
            self.watch();
        }
        GO_ON
    }

    /// A new connection, because there is none or the present one cannot go on: the impolite side
    /// makes it, the polite one asks for it.
    async fn renew(&mut self) {
        if !self.is_polite {
            // It grows over calls on the same channel as well, because the clock does.
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let clock = u64::try_from(now.as_millis()).unwrap_or_default();
            self.open(clock.max(self.attempt + 1)).await;
        } else if self.link.is_some() {
            self.send(CallMessage::renew(self.attempt));
        } else {
            self.after(Timer::Ask, PATIENCE);
        }
    }

    /// The polite side needs a new connection, or does not know the present one; `attempt` is the
    /// last that it knows.
    async fn renewal_asked(&mut self, attempt: u64) {
        if self.is_polite {
            return;
        }
        let is_new = self.link.as_ref().is_some_and(|link| link.connection.remote_description().is_none());
        if attempt == self.attempt || (attempt == 0 && !is_new) {
            self.renew().await;
        } else {
            self.send_again();
        }
    }

    async fn open(&mut self, attempt: u64) {
        self.link = None;
        self.timers = [None; TIMERS.len()];
        self.attempt = attempt;
        self.data_was_closed = false;
        match connect(self.channel.ice_servers(), self.is_polite) {
            Ok(link) => self.link = Some(link),
            Err(error) => {
                screen::note(&format!("No connection to {} can be made: {error}.", self.name));
                self.after(Timer::Renew, RETRY);
            }
        }
        self.watch();
    }

    /// Keeps an eye on a connection that is not up: repeats, restarts and finally renews.
    fn watch(&mut self) {
        if self.timer(Timer::SendAgain).is_none() {
            self.after(Timer::SendAgain, SEND_AGAIN);
        }
        if !self.is_connected() && self.timer(Timer::Retry).is_none() && self.timer(Timer::Restart).is_none()
        {
            self.after(Timer::Retry, RETRY);
        }
    }

    /// Does what is due.
    async fn act(&mut self) -> Flow {
        let now = Instant::now();
        for timer in TIMERS {
            if self.timer(timer).is_some_and(|at| at <= now) {
                self.clear(timer);
                self.fire(timer).await?;
            }
        }
        GO_ON
    }

    async fn fire(&mut self, timer: Timer) -> Flow {
        let is_reachable = self.is_reachable();
        match timer {
            Timer::Ask if self.link.is_none() => {
                if is_reachable {
                    self.send(CallMessage::renew(0));
                }
                self.after(Timer::Ask, SEND_AGAIN);
            }
            Timer::SendAgain => {
                let waits = |link: &Link| link.connection.signaling_state() == SignalingState::HaveLocalOffer;
                if self.link.as_ref().is_some_and(waits) {
                    if is_reachable {
                        self.send_again();
                    }
                    self.after(Timer::SendAgain, SEND_AGAIN);
                }
            }
            Timer::Retry if !self.is_connected() => self.retry(is_reachable).await,
            Timer::Restart if !self.is_connected() => self.restart().await,
            Timer::Disconnected => self.recover(),
            Timer::Renew if is_reachable => self.renew().await,
            Timer::Absent if !is_reachable && !self.is_connected() => {
                // While the server is away no peer is reachable, which shows nothing about this
                // one.
                if self.signaling_is_settled() {
                    return Flow::Break(Gone::Vanished);
                }
                return self.check_absence();
            }
            Timer::Ask | Timer::Retry | Timer::Restart | Timer::Renew | Timer::Absent => {}
        }
        GO_ON
    }

    async fn retry(&mut self, is_reachable: bool) {
        if !is_reachable {
            self.after(Timer::Retry, RETRY);
        } else if self.link.is_none() {
        } else if self.restarts < MAX_RESTARTS {
            self.restart().await;
        } else {
            self.restarts = 0;
            self.renew().await;
            self.watch();
        }
    }

    /// Restarts ICE soon; the polite side leaves it to the other for a moment.
    fn recover(&mut self) {
        if !self.is_connected() {
            self.clear(Timer::Retry);
            self.after(Timer::Restart, if self.is_polite { POLITE } else { Duration::ZERO });
        }
    }

    /// Restarts ICE, with fresh TURN credentials, because the old ones may have ended.
    async fn restart(&mut self) {
        let Some(link) = &self.link else { return };
        let connection = link.connection.clone();
        self.restarts += 1;
        self.after(Timer::Retry, RETRY);
        // Without fresh ones the old ones may still do.
        if let Ok(servers) = self.channel.refresh_ice_servers().await {
            let _ = connection.set_configuration(configuration(servers));
        }
        connection.restart_ice();
        self.watch();
    }

    async fn handle_event(&mut self, event: ConnectionEvent) -> Flow {
        match event {
            ConnectionEvent::Event(event) => return self.handle_connection_event(event).await,
            ConnectionEvent::Over => {
                if let Some(link) = &mut self.link {
                    link.is_over = true;
                }
            }
            ConnectionEvent::DataOpen => {
                if let Some(link) = &mut self.link {
                    link.data_is_open = true;
                }
                self.send_data(&DataMessage::status(&self.own_name)).await;
                self.send_waiting().await;
            }
            ConnectionEvent::Data(Message::Text(text)) => return self.handle_data(&text),
            ConnectionEvent::Data(Message::Binary(_)) => {}
            ConnectionEvent::DataOver => {
                // It leaves, or makes a new connection.
                self.data_was_closed = true;
                if let Some(link) = &mut self.link {
                    (link.data_is_open, link.data_is_over) = (false, true);
                }
                self.check_absence()?;
                self.after(Timer::Renew, DISCONNECTED);
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
                let message = link.negotiation.found(candidate.init);
                self.send_or_fail(Ok(message));
            }
            Event::ConnectionState(state) => return self.state_changed(state),
            Event::Error(error) => {
                screen::note(&format!("The connection to {} has failed: {error}.", self.name))
            }
            _ => {}
        }
        GO_ON
    }

    fn state_changed(&mut self, state: PeerConnectionState) -> Flow {
        match state {
            PeerConnectionState::Connected => {
                self.restarts = 0;
                for timer in [Timer::Disconnected, Timer::Retry, Timer::Restart, Timer::Absent] {
                    self.clear(timer);
                }
                if std::mem::take(&mut self.is_interrupted) {
                    screen::note(&format!("The connection to {} is back.", self.name));
                }
                return GO_ON;
            }
            PeerConnectionState::Disconnected => {
                if self.was_announced && !std::mem::replace(&mut self.is_interrupted, true) {
                    screen::note(&format!("The connection to {} is interrupted.", self.name));
                }
                self.after(Timer::Disconnected, DISCONNECTED);
            }
            PeerConnectionState::Failed => {
                self.clear(Timer::Disconnected);
                self.recover();
            }
            _ => {}
        }
        self.check_absence()
    }

    fn handle_data(&mut self, text: &str) -> Flow {
        match DataMessage::read(text) {
            Some(DataMessage::Chat { text }) => screen::chat(&self.name, &text),
            Some(DataMessage::Status { name, .. }) => {
                let is_new = !name.is_empty() && name != self.name;
                if !std::mem::replace(&mut self.was_announced, true) {
                    if is_new {
                        self.name = name;
                    }
                    screen::note(&format!("{} is here.", self.name));
                } else if is_new {
                    screen::note(&format!("{} is now called {name}.", self.name));
                    self.name = name;
                }
            }
            Some(DataMessage::Bye) => return Flow::Break(Gone::Left),
            None => {}
        }
        GO_ON
    }

    async fn send_chat(&mut self, text: String) {
        if self.send_data(&DataMessage::chat(&text)).await {
            return;
        }
        self.waiting.push_back(text);
        if self.waiting.len() > MAX_WAITING {
            self.waiting.pop_front();
        }
    }

    async fn send_waiting(&mut self) {
        while let Some(text) = self.waiting.pop_front() {
            if !self.send_data(&DataMessage::chat(&text)).await {
                self.waiting.push_front(text);
                return;
            }
        }
    }

    /// Returns whether the data channel took the message.
    async fn send_data(&self, message: &DataMessage) -> bool {
        let Some(link) = self.link.as_ref().filter(|link| link.data_is_open) else { return false };
        // A peer that takes nothing must not keep this side from other events.
        matches!(timeout(CLOSE_TIMEOUT, link.data.send(message.to_json())).await, Ok(Ok(())))
    }

    /// Leaves: waits until the waiting lines are sent, sends `bye`, and closes the connection.
    async fn leave(&mut self, patience: Duration, commands: &mut mpsc::Receiver<PeerCommand>) -> Gone {
        let deadline = Instant::now() + patience;
        while !self.waiting.is_empty() && Instant::now() < deadline {
            let timer = self.timers.iter().flatten().min().copied();
            let flow = tokio::select! {
                Some(command) = commands.recv() => self.handle_command(command).await,
                event = next_event(&mut self.link) => self.handle_event(event).await,
                () = until(timer) => self.act().await,
                () = sleep_until(deadline) => break,
            };
            if flow.is_break() {
                break;
            }
        }
        let unsent = self.waiting.len();
        self.send_data(&DataMessage::Bye).await;
        if let Some(link) = self.link.take() {
            // The channel is closed when the other side has everything.
            link.data.close();
            let _ = timeout(CLOSE_TIMEOUT, link.data.closed()).await;
            let _ = timeout(CLOSE_TIMEOUT, link.connection.close()).await;
        }
        Gone::Parted { unsent }
    }

    /// A peer that the server does not know any more stays as long as a connection reaches it, and
    /// a little longer.
    fn check_absence(&mut self) -> Flow {
        if self.is_reachable() || self.is_connected() {
            self.clear(Timer::Absent);
        } else if self.has_left && self.signaling_is_settled() {
            return Flow::Break(Gone::Left);
        } else if self.data_was_closed && self.signaling_is_settled() {
            return Flow::Break(Gone::Vanished);
        } else if self.timer(Timer::Absent).is_none() {
            self.after(Timer::Absent, ABSENT);
        }
        GO_ON
    }

    fn send_again(&self) {
        let Some(link) = &self.link else { return };
        for message in link.negotiation.messages_again(&link.connection) {
            self.send(CallMessage { attempt: Some(self.attempt), ..message });
        }
    }

    /// Sends the message of the negotiation; if it has failed, the connection is made anew in a
    /// while.
    fn send_or_fail(&mut self, outcome: Result<Option<CallMessage>, Error>) {
        match outcome {
            Ok(Some(message)) => self.send(CallMessage { attempt: Some(self.attempt), ..message }),
            Ok(None) => {}
            Err(error) => {
                screen::note(&format!("The connection to {} has to be made anew: {error}.", self.name));
                self.after(Timer::Renew, PATIENCE);
            }
        }
    }

    fn send(&self, message: CallMessage) {
        // If the queue is full: offers are sent again when they are not answered.
        let _ = self.channel.send(Some(self.peer), &message.envelope());
    }

    fn state(&self) -> PeerConnectionState {
        self.link.as_ref().map_or(PeerConnectionState::New, |link| link.connection.connection_state())
    }

    fn is_connected(&self) -> bool {
        self.state() == PeerConnectionState::Connected && !self.data_was_closed
    }

    fn is_reachable(&self) -> bool {
        self.channel.is_reachable(self.peer)
    }

    /// Returns whether the state of the peer in signaling is final for now.
    fn signaling_is_settled(&self) -> bool {
        self.channel.is_open() || self.channel.is_closed()
    }

    fn timer(&self, timer: Timer) -> Option<Instant> {
        self.timers[timer as usize]
    }

    fn after(&mut self, timer: Timer, delay: Duration) {
        self.timers[timer as usize] = Some(Instant::now() + delay);
    }

    fn clear(&mut self, timer: Timer) {
        self.timers[timer as usize] = None;
    }
}

fn connect(servers: IceServers, is_polite: bool) -> Result<Link, Error> {
    let (connection, events) = PeerConnection::new(configuration(servers))?;
    let init = DataChannelInit { negotiated: Some(0), ..DataChannelInit::default() };
    let data = connection.create_data_channel("columba", init)?;
    let negotiation = Negotiation::new(is_polite);
    Ok(Link {
        connection,
        events,
        data,
        negotiation,
        data_is_open: false,
        data_is_over: false,
        is_over: false,
    })
}

fn configuration(servers: IceServers) -> Configuration {
    // Restarts wait for fresh TURN credentials.
    Configuration { ice_servers: servers.servers, automatic_ice_restart: false, ..Configuration::default() }
}

/// Returns the next event of a connection.
async fn next_event(link: &mut Option<Link>) -> ConnectionEvent {
    let Some(link) = link else { return std::future::pending().await };
    let Link { events, data, data_is_open, data_is_over, is_over, .. } = link;
    tokio::select! {
        event = events.recv(), if !*is_over => event.map_or(ConnectionEvent::Over, ConnectionEvent::Event),
        Ok(()) = data.opened(), if !*data_is_open && !*data_is_over => ConnectionEvent::DataOpen,
        // Also what came on a channel that was closed again at once.
        message = data.recv(), if !*data_is_over => message.map_or(ConnectionEvent::DataOver, ConnectionEvent::Data),
        else => std::future::pending().await,
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
