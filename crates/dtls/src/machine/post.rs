//! Messages after the handshake: repetitions of its end, renegotiation, updates of keys.

use std::time::Instant;

use super::input::Outcome;
use super::{Machine, State};
use crate::alert::{self, AlertDescription};
use crate::config::{Role, Version};
use crate::crypto::schedule::updated;
use crate::error::Fault;
use crate::handshake::{EPOCH_DATA, Fragment, Inserted, Message, Traffic};
use crate::message::{CLIENT_HELLO, KEY_UPDATE, NEW_SESSION_TICKET};
use crate::record::{Direction, Opener, RecordNumber, Sealer};

/// `HelloRequest`, by which a server of DTLS 1.2 wants to renegotiate.
const HELLO_REQUEST: u8 = 0;

/// The state of an update of the own keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Update {
    #[default]
    None,
    /// To be sent when the flight before it was acknowledged; whether the other side is to update
    /// its keys, too.
    Due(bool),
    /// Sent. The new keys are taken when it was acknowledged (RFC 9147 §8).
    Sent,
}

impl Machine {
    /// Handles a fragment that comes when the handshake is complete.
    pub(super) fn handle_late_fragment(
        &mut self,
        now: Instant,
        record: RecordNumber,
        fragment: &Fragment<'_>,
    ) -> Outcome {
        let is_old = fragment.number < self.reassembly.next();
        if record.epoch == 0 {
            // Of the last flight of a client of DTLS 1.2 only the end has keys, and it may be lost
            // each time. Forged ones have the own flight sent again, and not often.
            if is_old && self.version() == Some(Version::Dtls12) {
                self.io.flight.answer_repetition(now);
            }
            self.dropped += 1;
            return Ok(());
        }
        match self.version() {
            Some(Version::Dtls13) if is_old => {
                // The end of the handshake, or an acknowledgment, was lost.
                self.io.flight.answer_repetition(now);
                self.note_ack(now, record, now);
            }
            Some(Version::Dtls13) if Self::is_data_epoch(record.epoch) => {
                let inserted =
                    self.reassembly.insert(record.epoch, fragment).map_err(|fault| (fault, true))?;
                if inserted != Inserted::Ignored {
                    self.note_ack(now, record, now);
                }
                while let Some(message) = self.reassembly.pop() {
                    self.handle_late_message(now, &message).map_err(|fault| (fault, true))?;
                }
            }
            _ if is_old => self.io.flight.answer_repetition(now),
            // Renegotiation is refused (RFC 5746 §4.5, RFC 8261 §4); the association goes on.
            Some(Version::Dtls12) if matches!(fragment.kind, CLIENT_HELLO | HELLO_REQUEST) => {
                if self.alert.is_none() {
                    self.alert = Some((alert::WARNING, AlertDescription::NO_RENEGOTIATION));
                }
                self.dropped += 1;
            }
            _ => self.dropped += 1,
        }
        Ok(())
    }

    pub(super) fn handle_late_message(&mut self, now: Instant, message: &Message) -> Result<(), Fault> {
        match message.kind {
            KEY_UPDATE => self.handle_key_update(message),
            // Sessions are never resumed; the ticket is acknowledged and forgotten.
            NEW_SESSION_TICKET if self.role == Role::Client => Ok(()),
            _ => {
                let _ = now;
                Err(Fault::unexpected("a message came that has no place after the handshake"))
            }
        }
    }

    fn handle_key_update(&mut self, message: &Message) -> Result<(), Fault> {
        let wants_answer = match message.body[..] {
            [0] => false,
            [1] => true,
            _ => return Err(Fault::illegal("an update of keys says neither yes nor no")),
        };
        let State::Connected(session) = &mut self.state else { return Ok(()) };
        let suite = session.suite;
        let Some(traffic) = &mut session.traffic else { return Err(Fault::crypto()) };
        if message.epoch != traffic.remote_epoch {
            return Err(Fault::unexpected("an update of keys comes with older keys"));
        }
        traffic.remote = updated(suite.hash(), &traffic.remote)?;
        traffic.remote_epoch += 1;
        let direction = Direction { suite, epoch: traffic.remote_epoch };
        self.io.records.add_opener(Opener::new_13(direction, &traffic.remote)?);
        if wants_answer {
            self.update_keys(false);
        }
        Ok(())
    }

    /// Updates the own keys, and asks the other side to update its own.
    pub(crate) fn update_keys(&mut self, both: bool) {
        if self.version() == Some(Version::Dtls13) && self.update == Update::None {
            self.update = Update::Due(both);
            self.begin_update();
        }
    }

    /// Sends a KeyUpdate, if the flight before it was acknowledged.
    fn begin_update(&mut self) {
        if let Update::Due(both) = self.update
            && self.is_connected()
            && self.io.flight.is_empty()
        {
            let epoch = self.io.records.newest_epoch();
            self.io.flight.begin();
            self.io.flight.push(KEY_UPDATE, epoch, vec![u8::from(both)]);
            self.update = Update::Sent;
        }
    }

    /// Handles the acknowledgment of a whole flight after the handshake. During it only the next
    /// flight says that the last one is complete.
    pub(super) fn handle_acknowledged_flight(&mut self) -> Result<(), Fault> {
        let State::Connected(session) = &mut self.state else { return Ok(()) };
        self.io.flight.end();
        if self.update == Update::Sent {
            let suite = session.suite;
            let Some(Traffic { local, local_epoch, .. }) = &mut session.traffic else {
                return Err(Fault::crypto());
            };
            *local = updated(suite.hash(), local)?;
            *local_epoch += 1;
            let direction = Direction { suite, epoch: *local_epoch };
            self.io.records.add_sealer(Sealer::new_13(direction, local)?);
            self.update = Update::None;
        }
        // The keys of the handshake have nothing left to say. A server that has acknowledged the
        // end of it repeats nothing, either; a client may not have heard of its acknowledgment.
        let opened = if self.role == Role::Client { EPOCH_DATA } else { 0 };
        self.io.records.forget_before(self.io.records.newest_epoch(), opened);
        self.begin_update();
        Ok(())
    }
}
