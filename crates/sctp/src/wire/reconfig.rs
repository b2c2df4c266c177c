//! RE-CONFIG (RFC 6525): stream resets and their answers.

use super::{Reader, Writer, chunk_type};
use crate::error::WireError;
use crate::serial::{RequestNumber, StreamId, Tsn};

mod parameter {
    pub(super) const OUTGOING_RESET: u16 = 13;
    pub(super) const INCOMING_RESET: u16 = 14;
    pub(super) const ASSOCIATION_RESET: u16 = 15;
    pub(super) const RESPONSE: u16 = 16;
    pub(super) const ADD_OUTGOING: u16 = 17;
    pub(super) const ADD_INCOMING: u16 = 18;
}

/// The result of a request (RFC 6525 §4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResetResult {
    NothingToDo = 0,
    Performed = 1,
    Denied = 2,
    WrongSsn = 3,
    AlreadyInProgress = 4,
    BadSequenceNumber = 5,
    InProgress = 6,
}

impl ResetResult {
    fn from_wire(value: u32) -> Option<Self> {
        [
            Self::NothingToDo,
            Self::Performed,
            Self::Denied,
            Self::WrongSsn,
            Self::AlreadyInProgress,
            Self::BadSequenceNumber,
            Self::InProgress,
        ]
        .into_iter()
        .find(|result| *result as u32 == value)
    }
}

/// One of the one or two parameters of a RE-CONFIG chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReconfigParameter<'a> {
    /// The sender resets these of its outgoing streams; all, if none is named.
    OutgoingReset {
        request: RequestNumber,
        /// The request that this one answers.
        response: RequestNumber,
        last_tsn: Tsn,
        streams: Streams<'a>,
    },
    /// The sender asks the receiver to reset these of its outgoing streams.
    IncomingReset { request: RequestNumber, streams: Streams<'a> },
    /// The sender wants to use more outgoing streams.
    MoreStreams { request: RequestNumber },
    /// A request that we do not grant: resetting the association, or that we use more streams
    /// ourselves.
    Other { request: RequestNumber },
    /// An answer.
    Response { response: RequestNumber, result: ResetResult },
}

/// Stream numbers, as the peer wrote them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Streams<'a>(&'a [u8]);

impl Streams<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = StreamId> {
        self.0.chunks_exact(2).map(|id| StreamId(u16::from_be_bytes([id[0], id[1]])))
    }
}

/// The parameters of a RE-CONFIG chunk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reconfig<'a>(Reader<'a>);

impl<'a> Reconfig<'a> {
    /// Reads the chunk's value.
    pub(crate) fn parse(value: &'a [u8]) -> Self {
        Self(Reader::new(value))
    }

    fn parameter(kind: u16, value: &'a [u8]) -> Result<Option<ReconfigParameter<'a>>, WireError> {
        let mut reader = Reader::new(value);
        let number = RequestNumber(reader.u32()?);
        Ok(Some(match kind {
            parameter::OUTGOING_RESET => ReconfigParameter::OutgoingReset {
                request: number,
                response: RequestNumber(reader.u32()?),
                last_tsn: Tsn(reader.u32()?),
                streams: Streams(reader.rest()),
            },
            parameter::INCOMING_RESET => {
                ReconfigParameter::IncomingReset { request: number, streams: Streams(reader.rest()) }
            }
            parameter::RESPONSE => {
                let Some(result) = ResetResult::from_wire(reader.u32()?) else { return Ok(None) };
                ReconfigParameter::Response { response: number, result }
            }
            parameter::ADD_OUTGOING => ReconfigParameter::MoreStreams { request: number },
            parameter::ASSOCIATION_RESET | parameter::ADD_INCOMING => {
                ReconfigParameter::Other { request: number }
            }
            _ => return Ok(None),
        }))
    }

    /// Writes a chunk with a request to reset these streams.
    pub(crate) fn write_request(
        writer: &mut Writer<'_>,
        request: RequestNumber,
        response: RequestNumber,
        last_tsn: Tsn,
        streams: &[StreamId],
    ) {
        writer.chunk(chunk_type::RECONFIG, 0, |writer| {
            writer.parameter(parameter::OUTGOING_RESET, |writer| {
                writer.u32(request.0);
                writer.u32(response.0);
                writer.u32(last_tsn.0);
                for stream in streams {
                    writer.u16(stream.0);
                }
            });
        });
    }

    /// The number of bytes that such a request takes.
    pub(crate) const fn request_length(streams: usize) -> usize {
        super::padded(20 + 2 * streams)
    }

    /// Writes a chunk with an answer.
    pub(crate) fn write_response(writer: &mut Writer<'_>, response: RequestNumber, result: ResetResult) {
        writer.chunk(chunk_type::RECONFIG, 0, |writer| {
            writer.parameter(parameter::RESPONSE, |writer| {
                writer.u32(response.0);
                writer.u32(result as u32);
            });
        });
    }

    /// The number of bytes that an answer takes.
    pub(crate) const RESPONSE_LENGTH: usize = 16;
}

impl<'a> Iterator for Reconfig<'a> {
    type Item = ReconfigParameter<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.0.is_empty() {
            let parsed =
                self.0.element().and_then(|(kind, value)| Self::parameter(u16::from_be_bytes(kind), value));
            match parsed {
                Ok(Some(parameter)) => return Some(parameter),
                Ok(None) => {}
                Err(_) => self.0 = Reader::new(&[]),
            }
        }
        None
    }
}
