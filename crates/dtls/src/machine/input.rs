//! The way of a datagram in.

use std::time::Instant;

use super::{LINGER, MAX_EARLY, MAX_HELD, MAX_HELD_RECORD, Machine, MachineEvent, State};
use crate::alert::AlertDescription;
use crate::config::{Role, Version};
use crate::error::{Error, Fault};
use crate::handshake::{EPOCH_DATA, Fragment, Inserted, Message, Step};
use crate::message::{CLIENT_HELLO, MAX_ACKS, read_ack};
use crate::record::{
    ACK, ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, HANDSHAKE, Opened, RecordNumber, first,
};
use crate::wire::Reader;

/// Packets in a datagram for which room is kept; usually there is one.
const USUAL_PACKETS: usize = 16;

impl Machine {
    /// Handles a datagram. Records are opened where they stand; [`read`](Self::read) finds the
    /// packets there.
    pub(crate) fn handle_datagram(&mut self, now: Instant, datagram: &mut [u8]) {
        self.packets.clear();
        if self.packets.capacity() > USUAL_PACKETS {
            self.packets.shrink_to(USUAL_PACKETS);
        }
        let mut at = 0;
        while at < datagram.len() {
            let Some(length) = self.handle_record(now, &mut datagram[at..], Some(at)) else {
                self.dropped += 1;
                return;
            };
            at += length;
        }
    }

    /// Handles records that are not in a datagram to be read: their packets are copied.
    pub(crate) fn handle_detached(&mut self, now: Instant, records: &mut [u8]) {
        let mut at = 0;
        while at < records.len() {
            let Some(length) = self.handle_record(now, &mut records[at..], None) else {
                self.dropped += 1;
                return;
            };
            at += length;
        }
    }

    /// Handles the first record. `at` is its place in the datagram that is read; otherwise its
    /// packet is copied. Returns the record's length.
    fn handle_record(&mut self, now: Instant, bytes: &mut [u8], at: Option<usize>) -> Option<usize> {
        let raw = first(bytes)?;
        if self.failure.is_some() {
            // The other side has not heard of it.
            self.alert = self.failure;
        }
        let record = &mut bytes[..raw.length];
        match self.io.records.open(raw, record) {
            Opened::Content { content_type, number, range } => match content_type {
                APPLICATION_DATA => match at.filter(|_| self.is_connected()) {
                    Some(at) => self.take_packet(at + range.start..at + range.end),
                    None => self.take_early(&record[range]),
                },
                _ => self.handle_content(now, content_type, number, &record[range]),
            },
            Opened::Early => self.hold(record),
            Opened::Noise => {
                self.strangers += u32::from(self.is_answered());
                self.dropped += 1;
            }
        }
        if self.io.records.is_spent() {
            self.end();
            self.events.push_back(MachineEvent::Failed { error: Error::KeysUsedUp, is_authentic: true });
        }
        Some(raw.length)
    }

    /// Returns true if a client has got an answer to its ClientHello, true or forged.
    fn is_answered(&self) -> bool {
        self.role == Role::Client && self.handshake().is_some_and(|it| it.step() != Step::ServerHello)
    }

    fn take_packet(&mut self, range: std::ops::Range<usize>) {
        self.packets.push_back(range);
        // Data proves that the end of the handshake of DTLS 1.2 has arrived.
        if self.version() == Some(Version::Dtls12) && !self.io.flight.is_empty() {
            self.io.flight.end();
        }
    }

    fn take_early(&mut self, packet: &[u8]) {
        if matches!(self.state, State::Closed) || self.early.len() >= MAX_EARLY {
            self.dropped += 1;
        } else {
            self.early.push_back(packet.to_vec());
        }
    }

    fn hold(&mut self, record: &[u8]) {
        let is_handshake = matches!(self.state, State::Handshake(_));
        if is_handshake && self.held.len() < MAX_HELD && record.len() <= MAX_HELD_RECORD {
            self.held.push(record.to_vec());
        } else {
            self.dropped += 1;
        }
    }

    /// Handles the records whose keys have come.
    fn handle_held(&mut self, now: Instant) {
        for mut record in std::mem::take(&mut self.held) {
            self.handle_record(now, &mut record, None);
        }
    }

    fn handle_content(&mut self, now: Instant, content_type: u8, number: RecordNumber, body: &[u8]) {
        let outcome = match content_type {
            HANDSHAKE => self.handle_fragments(now, number, body),
            ALERT => {
                self.handle_alert(number, body);
                Ok(())
            }
            // It says nothing that the epoch of the next record does not say.
            CHANGE_CIPHER_SPEC => Ok(()),
            ACK if number.epoch > 0 => self.handle_ack(now, body),
            _ => {
                self.dropped += 1;
                Ok(())
            }
        };
        if let Err((fault, is_authentic)) = outcome {
            self.fail(fault, is_authentic);
        }
    }

    fn handle_fragments(&mut self, now: Instant, number: RecordNumber, body: &[u8]) -> Outcome {
        let is_sealed = number.epoch > 0;
        let mut reader = Reader::new(body);
        if body.is_empty() && is_sealed {
            return Err((Fault::unexpected("a record of the handshake is empty"), true));
        }
        while !reader.is_empty() {
            let fragment = match Fragment::read(&mut reader) {
                Ok(fragment) => fragment,
                Err(fault) if is_sealed => return Err((fault, true)),
                Err(_) => {
                    self.dropped += 1;
                    return Ok(());
                }
            };
            if self.is_connected() {
                self.handle_late_fragment(now, number, &fragment)?;
            } else {
                self.handle_fragment(now, number, &fragment)?;
            }
        }
        Ok(())
    }

    fn handle_fragment(&mut self, now: Instant, record: RecordNumber, fragment: &Fragment<'_>) -> Outcome {
        let State::Handshake(handshake) = &mut self.state else { return Ok(()) };
        let is_13 = handshake.version() == Some(Version::Dtls13);
        let is_authentic = is_13 && record.epoch > 0;
        // What came before in the clear may come again: an answer of this side's was lost.
        let is_old = fragment.number < self.reassembly.next();
        if !handshake.accepts(record.epoch, fragment.kind) && !is_old {
            self.strangers += u32::from(handshake.step() == Step::EncryptedExtensions);
            self.dropped += 1;
            return Ok(());
        }
        if self.is_stateless && handshake.step() == Step::ClientHello && handshake.version().is_none() {
            if !Self::is_whole_hello(fragment) {
                self.dropped += 1;
                return Ok(());
            }
            self.reassembly.skip_to(fragment.number);
            self.io.flight.skip_to(fragment.number);
            self.io.records.skip_plain(record.sequence);
        }
        let inserted =
            self.reassembly.insert(record.epoch, fragment).map_err(|fault| (fault, is_authentic))?;
        match inserted {
            Inserted::New => {}
            Inserted::Old => self.io.flight.answer_repetition(now),
            Inserted::Ignored => self.dropped += 1,
        }
        if is_authentic && inserted != Inserted::Ignored {
            self.note_ack(now, record, now + self.config.first_timeout / 4);
        }
        while let Some(message) = self.reassembly.pop() {
            self.handle_message(now, &message).map_err(|fault| (fault, is_13 && message.epoch > 0))?;
        }
        Ok(())
    }

    fn is_whole_hello(fragment: &Fragment<'_>) -> bool {
        fragment.kind == CLIENT_HELLO && fragment.bytes.len() == fragment.length && fragment.number <= 1
    }

    fn handle_message(&mut self, now: Instant, message: &Message) -> Result<(), Fault> {
        let State::Handshake(handshake) = &mut self.state else {
            return self.handle_late_message(now, message);
        };
        let before = handshake.step();
        tracing::trace!(kind = message.kind, number = message.number, step = ?before, "handshake message");
        let session = handshake.handle(&mut self.io, message)?;
        let has_moved = handshake.step() != before;
        if has_moved {
            // What was taken for a message of the next steps may be forged.
            self.reassembly.retain(|epoch, kind| handshake.accepts(epoch, kind));
        }
        self.progress += 1;
        if message.epoch > 0 {
            self.strangers = 0;
        }
        if self.io.flight.is_pending() && self.role == Role::Client {
            // The own flight acknowledges the other side's (RFC 9147 §7.1).
            self.acks.clear();
            (self.ack_at, self.ack_is_due) = (None, false);
        }
        if let Some(session) = session {
            self.connect(now, session);
        }
        if has_moved || self.is_connected() {
            self.handle_held(now);
        }
        Ok(())
    }

    fn connect(&mut self, now: Instant, session: Box<crate::handshake::Session>) {
        self.reassembly.retain(|_, _| false);
        if session.version == Version::Dtls13 {
            self.linger = Some(now + LINGER);
            if self.role == Role::Server {
                self.ack_is_due = true;
            }
        }
        self.state = State::Connected(session);
        self.events.push_back(MachineEvent::Connected);
    }

    /// Notes a record that is to be acknowledged by `at`.
    pub(super) fn note_ack(&mut self, now: Instant, record: RecordNumber, at: Instant) {
        if self.acks.contains(&record) {
            return;
        }
        if self.acks.len() >= MAX_ACKS {
            self.acks.remove(0);
        }
        self.acks.push(record);
        if at <= now {
            (self.ack_at, self.ack_is_due) = (None, true);
        } else if !self.ack_is_due {
            self.ack_at = Some(self.ack_at.map_or(at, |known| known.min(at)));
        }
    }

    fn handle_ack(&mut self, now: Instant, body: &[u8]) -> Outcome {
        let records = read_ack(body).map_err(|fault| (fault, true))?;
        if self.io.flight.acknowledge(now, records) {
            self.handle_acknowledged_flight().map_err(|fault| (fault, true))?;
        }
        Ok(())
    }

    fn handle_alert(&mut self, number: RecordNumber, body: &[u8]) {
        let is_authentic = number.epoch > 0;
        let &[level, description] = body else {
            self.dropped += 1;
            return;
        };
        // An alert in the clear has a meaning only before there are keys (RFC 9147 §4.5.2 has them
        // dropped), and says nothing once the end of the handshake has come.
        if matches!(self.state, State::Closed) || !is_authentic && self.is_connected() {
            self.dropped += 1;
            return;
        }
        let description = AlertDescription(description);
        tracing::debug!(%description, is_authentic, "an alert came");
        let is_13 = self.version() == Some(Version::Dtls13);
        if description == AlertDescription::CLOSE_NOTIFY && is_authentic && self.is_connected() {
            self.close();
            self.events.push_back(MachineEvent::Closed);
            return;
        }
        self.events.push_back(MachineEvent::Alert { description, is_authentic });
        // In DTLS 1.3 the level says nothing; user_canceled comes before close_notify (RFC 8446
        // §6.1).
        let is_warning = if is_13 {
            description == AlertDescription::USER_CANCELED
        } else {
            level == crate::alert::WARNING
        };
        if is_authentic && !(is_warning && description != AlertDescription::CLOSE_NOTIFY) {
            self.end();
            let error = Error::PeerAlert(description);
            self.events.push_back(MachineEvent::Failed { error, is_authentic });
        }
    }

    /// Returns true if the epoch is one of data.
    pub(super) fn is_data_epoch(epoch: u64) -> bool {
        epoch >= EPOCH_DATA
    }
}

/// A fault, and whether it is certainly the other side's.
pub(super) type Outcome = Result<(), (Fault, bool)>;
