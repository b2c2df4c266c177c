//! The meeting at a code: both sides prove that they have the same code, and get a secret.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use columba::signaling::{
    ErrorCode, PeerId, SignalingChannel, SignalingError, SignalingEvent, SignalingEvents,
};
use columba_files::{Code, Exchange, MAX_NUMBER, Role, Secret, Unproven, session_of};
use getrandom::SysRng;
use rand_core::{Rng as _, UnwrapErr};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::end::{Stop, StopKind};
use super::link::Place;

/// Wrong tries that end a code.
pub(crate) const MAX_TRIES: u32 = 3;

/// Exchanges that are under way at the same time; a session has room for fewer peers.
const MAX_EXCHANGES: usize = 64;

/// Numbers that are tried, to find one that no other sender has.
const MAX_NUMBERS: u16 = 40;

/// The time for which a receiver waits for a sender at its code, and then for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// The messages of the meeting.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Envelope {
    send: Body,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Body {
    #[serde(skip_serializing_if = "Option::is_none")]
    share: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<String>,
    /// True: the proof was wrong.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    wrong: bool,
}

/// A sender that waits at its code.
pub(crate) struct Host {
    pub(crate) code: Code,
    channel: SignalingChannel,
    events: SignalingEvents,
    exchanges: BTreeMap<PeerId, Unproven>,
    tries: u32,
    /// The receiver that has proven itself, and the proof for it.
    confirmation: Option<(PeerId, String)>,
}

/// The news of a code.
#[derive(Debug)]
pub(crate) enum HostEvent {
    /// A receiver has proven that it has the code. It waits for [`Host::confirm`], so that the
    /// secret can be kept first.
    Met(Secret),
    /// A receiver has another code; so many tries are left.
    WrongTry { left: u32 },
    /// The server is lost for good.
    Lost(Stop),
}

impl Host {
    /// Makes a code whose number no other sender has at this server.
    pub(crate) async fn open(place: &Place) -> Result<Self, Stop> {
        let mut rng = UnwrapErr(SysRng);
        for attempt in 0..MAX_NUMBERS {
            // Short ones first.
            let limit = if attempt < 8 { 99 } else { MAX_NUMBER };
            let number = u16::try_from(rng.next_u32() % u32::from(limit)).unwrap_or(0) + 1;
            let (channel, events) = enter(place, &session_of(number)).await?;
            if channel.peers().is_empty() {
                let code = Code::random(number, &mut rng);
                return Ok(Self {
                    code,
                    channel,
                    events,
                    exchanges: BTreeMap::new(),
                    tries: 0,
                    confirmation: None,
                });
            }
            channel.close().await;
        }
        Err(Stop::refused("No code is free at this server now; try again, or use the link."))
    }

    /// Waits for news. Cancelling loses nothing.
    pub(crate) async fn next(&mut self) -> HostEvent {
        loop {
            match self.events.recv().await {
                Some(SignalingEvent::Message { from, data }) => {
                    let Ok(envelope) = serde_json::from_str::<Envelope>(data.get()) else { continue };
                    if let Some(event) = self.handle(from, &envelope.send) {
                        return event;
                    }
                }
                Some(SignalingEvent::PeerLeft { peer, .. }) => {
                    self.exchanges.remove(&peer);
                }
                Some(SignalingEvent::Closed(error)) => return HostEvent::Lost(sentence(&error)),
                Some(_) => {}
                None => return HostEvent::Lost(sentence(&SignalingError::Closed)),
            }
        }
    }

    fn handle(&mut self, from: PeerId, body: &Body) -> Option<HostEvent> {
        if let Some(share) = body.share.as_deref().and_then(|share| BASE64.decode(share).ok()) {
            if self.exchanges.len() >= MAX_EXCHANGES {
                return None;
            }
            let exchange = Exchange::new(Role::Sender, &self.code, &mut UnwrapErr(SysRng));
            let own = BASE64.encode(exchange.share());
            if let Ok(unproven) = exchange.finish(&share) {
                self.exchanges.insert(from, unproven);
                self.send(from, Body { share: Some(own), ..Body::default() });
            }
        }
        let proof = body.proof.as_deref().and_then(|proof| BASE64.decode(proof).ok())?;
        // One try for each share.
        let unproven = self.exchanges.remove(&from)?;
        match unproven.check(&proof) {
            Ok(secret) => {
                self.confirmation = Some((from, BASE64.encode(unproven.proof())));
                Some(HostEvent::Met(secret))
            }
            Err(_) => {
                self.send(from, Body { wrong: true, ..Body::default() });
                self.tries += 1;
                Some(HostEvent::WrongTry { left: MAX_TRIES.saturating_sub(self.tries) })
            }
        }
    }

    /// Proves the same to the receiver that was met.
    pub(crate) fn confirm(&mut self) {
        if let Some((to, proof)) = self.confirmation.take() {
            self.send(to, Body { proof: Some(proof), ..Body::default() });
        }
    }

    fn send(&self, to: PeerId, body: Body) {
        // A receiver that misses it tries again.
        let _ = self.channel.send(Some(to), &Envelope { send: body });
    }

    /// Leaves the code, after the last message has gone out.
    pub(crate) async fn close(self) {
        self.channel.close().await;
    }
}

/// Meets the sender that has made this code.
pub(crate) async fn meet(place: &Place, code: &Code) -> Result<Secret, Stop> {
    let (channel, events) = enter(place, &code.session()).await?;
    let outcome = timeout(PATIENCE, prove(&channel, events, code)).await;
    // Leaving takes a round trip; the files are not to wait for it.
    let leaving = tokio::spawn(async move { channel.close().await });
    if !matches!(outcome, Ok(Ok(_))) {
        let _ = leaving.await;
    }
    outcome.unwrap_or_else(|_| {
        let sentence = format!(
            "No sender answers at the code {}; check it, and whether both sides use the same server ({}).",
            code.number(),
            place.page
        );
        Err(Stop::new(StopKind::Lost, sentence))
    })
}

async fn prove(channel: &SignalingChannel, mut events: SignalingEvents, code: &Code) -> Result<Secret, Stop> {
    let mut exchanges: BTreeMap<PeerId, Exchange> = BTreeMap::new();
    let mut unproven: BTreeMap<PeerId, Unproven> = BTreeMap::new();
    let greet = |peer: PeerId, exchanges: &mut BTreeMap<PeerId, Exchange>| {
        let exchange = Exchange::new(Role::Receiver, code, &mut UnwrapErr(SysRng));
        let share = Some(BASE64.encode(exchange.share()));
        let _ = channel.send(Some(peer), &Envelope { send: Body { share, ..Body::default() } });
        exchanges.insert(peer, exchange);
    };
    // Each stranger at this number gets one guess, so only a few are spoken to.
    let mut spoken = BTreeSet::new();
    loop {
        match events.recv().await {
            Some(SignalingEvent::PeerJoined { peer, .. }) => {
                if spoken.len() < MAX_TRIES as usize && spoken.insert(peer) {
                    greet(peer, &mut exchanges);
                }
            }
            Some(SignalingEvent::Message { from, data }) => {
                let Ok(Envelope { send: body }) = serde_json::from_str(data.get()) else { continue };
                if body.wrong && unproven.remove(&from).is_some() {
                    return Err(wrong_code());
                }
                let decoded =
                    |text: &Option<String>| text.as_deref().and_then(|text| BASE64.decode(text).ok());
                if let Some(share) = decoded(&body.share)
                    && let Some(exchange) = exchanges.remove(&from)
                    && let Ok(keys) = exchange.finish(&share)
                {
                    let proof = Some(BASE64.encode(keys.proof()));
                    let _ = channel.send(Some(from), &Envelope { send: Body { proof, ..Body::default() } });
                    unproven.insert(from, keys);
                } else if let Some(proof) = decoded(&body.proof)
                    && let Some(keys) = unproven.remove(&from)
                {
                    return keys.check(&proof).map_err(|_| wrong_code());
                }
            }
            Some(SignalingEvent::Closed(error)) => return Err(sentence(&error)),
            Some(_) => {}
            None => return Err(sentence(&SignalingError::Closed)),
        }
    }
}

fn wrong_code() -> Stop {
    Stop::new(StopKind::Untrusted, "The words of the code are wrong; ask the sender for them again.")
}

/// Enters a session at this server.
async fn enter(place: &Place, session: &str) -> Result<(SignalingChannel, SignalingEvents), Stop> {
    SignalingChannel::open(place.join(session)?).await.map_err(|error| sentence(&error))
}

/// The error of a server as a sentence.
pub(crate) fn sentence(error: &SignalingError) -> Stop {
    if let SignalingError::Refused(refusal) = error {
        return Stop::refused(match refusal.code {
            ErrorCode::SessionFull => {
                "Too many others are at this code or link; the sender should begin anew.".to_owned()
            }
            ErrorCode::KeyRequired => "The server asks for a join key: give it with --join-key.".to_owned(),
            ErrorCode::WrongKey => "This is not the server's join key: check --join-key.".to_owned(),
            _ => refusal.message.clone(),
        });
    }
    let sentence = error.to_string();
    let mut letters = sentence.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    Stop::new(StopKind::Refused, format!("{first}{}.", letters.as_str()))
}
