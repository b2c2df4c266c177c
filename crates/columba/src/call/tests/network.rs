//! Signaling in memory, which drops, repeats and delays messages, and restarts.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use columba_signal::{LeaveReason, PeerId, SessionToken};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use crate::call::seal::BoxFuture;
use crate::call::signaling::Signaling;
use crate::call::{Call, CallEvents, CallOptions};
use crate::signaling::{IceServers, SignalingError, SignalingEvent};

/// Changes a message on its way; `None` drops it.
type Meddler = Box<dyn FnMut(PeerId, PeerId, &str) -> Option<String> + Send>;

/// A session that all join.
#[derive(Clone)]
pub(super) struct Network {
    state: Arc<Mutex<State>>,
}

struct State {
    members: BTreeMap<PeerId, mpsc::UnboundedSender<SignalingEvent>>,
    is_up: bool,
    rng: ChaCha8Rng,
    /// In percent.
    loss: u32,
    repeats: u32,
    /// The longest delay of a message, in milliseconds: later ones overtake it.
    delay: u64,
    meddler: Option<Meddler>,
    has_answered: bool,
    /// Counts those who have joined. One whose id joins again is replaced: nothing of it passes.
    joined: u64,
    present: BTreeMap<PeerId, u64>,
}

/// The way of one member.
struct Member {
    network: Network,
    id: PeerId,
    number: u64,
}

impl Network {
    pub(super) fn new(seed: u64) -> Self {
        let (members, rng) = (BTreeMap::new(), ChaCha8Rng::seed_from_u64(seed));
        let present = BTreeMap::new();
        let (loss, repeats, delay, joined) = (0, 0, 0, 0);
        let (meddler, has_answered, is_up) = (None, false, true);
        let state =
            State { members, is_up, rng, loss, repeats, delay, meddler, has_answered, joined, present };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    pub(super) fn disturb(&self, loss: u32, repeats: u32, delay: u64) {
        let mut state = self.state.lock().unwrap();
        (state.loss, state.repeats, state.delay) = (loss, repeats, delay);
    }

    pub(super) fn meddle(
        &self,
        meddler: impl FnMut(PeerId, PeerId, &str) -> Option<String> + Send + 'static,
    ) {
        self.state.lock().unwrap().meddler = Some(Box::new(meddler));
    }

    /// Returns whether an answer to an offer was sent.
    pub(super) fn has_answered(&self) -> bool {
        self.state.lock().unwrap().has_answered
    }

    pub(super) fn join(&self, id: PeerId, options: CallOptions) -> (Call, CallEvents) {
        let (sender, mut events) = mpsc::unbounded_channel();
        let number = {
            let mut state = self.state.lock().unwrap();
            sender.send(SignalingEvent::Open { rejoined: false }).unwrap();
            for (other, to) in state.members.iter().filter(|(other, _)| **other != id) {
                sender.send(SignalingEvent::PeerJoined { peer: *other, id: None }).unwrap();
                to.send(SignalingEvent::PeerJoined { peer: id, id: None }).unwrap();
            }
            state.members.insert(id, sender);
            state.joined += 1;
            let number = state.joined;
            state.present.insert(id, number);
            number
        };
        let source = futures_util::stream::poll_fn(move |cx| events.poll_recv(cx));
        let member = Member { network: self.clone(), id, number };
        Call::begin(Arc::new(member), Box::pin(source), options).unwrap()
    }

    /// No member is reachable.
    pub(super) fn stop(&self) {
        let mut state = self.state.lock().unwrap();
        state.is_up = false;
        for to in state.members.values() {
            let _ = to.send(SignalingEvent::Reconnecting);
        }
    }

    /// The server is back without memory: all join anew.
    pub(super) fn restart(&self) {
        let mut state = self.state.lock().unwrap();
        state.is_up = true;
        for (own, to) in &state.members {
            let _ = to.send(SignalingEvent::Open { rejoined: true });
            for other in state.members.keys().filter(|other| *other != own) {
                let _ = to.send(SignalingEvent::PeerLeft { peer: *other, reason: LeaveReason::Unknown });
                let _ = to.send(SignalingEvent::PeerJoined { peer: *other, id: None });
            }
        }
    }

    /// Delivers a message as if `from` had sent it.
    pub(super) fn inject(&self, from: PeerId, to: PeerId, text: &str) {
        let data = RawValue::from_string(text.to_owned()).unwrap().into();
        let state = self.state.lock().unwrap();
        let _ = state.members[&to].send(SignalingEvent::Message { from, data });
    }

    fn transmit(&self, from: PeerId, to: PeerId, text: &str) {
        let mut guard = self.state.lock().unwrap();
        let state = &mut *guard;
        let text = match &mut state.meddler {
            Some(meddler) => meddler(from, to, text),
            None => Some(text.to_owned()),
        };
        let Some(text) = text else { return };
        state.has_answered |= text.contains(r#""type":"answer""#);
        let copies = 1 + u32::from(percent(&mut state.rng, state.repeats));
        for _ in 0..copies {
            if percent(&mut state.rng, state.loss) {
                continue;
            }
            let delay = match state.delay {
                0 => 0,
                most => u64::from(state.rng.next_u32()) % most,
            };
            let Some(receiver) = state.members.get(&to).cloned() else { continue };
            let data: Arc<RawValue> = RawValue::from_string(text.clone()).unwrap().into();
            if delay == 0 {
                let _ = receiver.send(SignalingEvent::Message { from, data });
                continue;
            }
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(delay)).await;
                let _ = receiver.send(SignalingEvent::Message { from, data });
            });
        }
    }
}

fn percent(rng: &mut ChaCha8Rng, share: u32) -> bool {
    rng.next_u32() % 100 < share
}

impl Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Member {
    /// Returns whether it is the last that has joined under its id.
    fn is_present(&self) -> bool {
        self.network.state.lock().unwrap().present.get(&self.id) == Some(&self.number)
    }
}

impl Signaling for Member {
    fn peer_id(&self) -> Option<PeerId> {
        Some(self.id)
    }

    fn session(&self) -> Option<SessionToken> {
        None
    }

    fn is_reachable(&self, peer: PeerId) -> bool {
        if !self.is_present() {
            return false;
        }
        let state = self.network.state.lock().unwrap();
        state.is_up && state.members.contains_key(&peer)
    }

    fn is_settled(&self) -> bool {
        self.network.state.lock().unwrap().is_up
    }

    fn send(&self, to: PeerId, message: &RawValue) -> Result<(), SignalingError> {
        if self.is_present() {
            self.network.transmit(self.id, to, message.get());
        }
        Ok(())
    }

    fn ice_servers(&self) -> IceServers {
        IceServers::default()
    }

    fn refresh_ice_servers(&self) -> BoxFuture<'_, Option<IceServers>> {
        Box::pin(async { None })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        if !self.is_present() {
            return Box::pin(async {});
        }
        let mut state = self.network.state.lock().unwrap();
        state.members.remove(&self.id);
        for to in state.members.values() {
            let _ = to.send(SignalingEvent::PeerLeft { peer: self.id, reason: LeaveReason::Left });
        }
        Box::pin(async {})
    }
}
