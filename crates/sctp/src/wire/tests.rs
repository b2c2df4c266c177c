//! Chunks that are written can be read again as they were; foreign ones are refused quietly.

use proptest::prelude::*;

use super::*;
use crate::serial::{Ppid, RequestNumber, StreamId, Tsn};

fn written(write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut buffer = vec![0; 65_536];
    let mut writer = Writer::new(&mut buffer);
    write(&mut writer);
    writer.written().to_vec()
}

/// The one chunk of a packet that `write` writes.
fn chunk(write: impl FnOnce(&mut Writer<'_>)) -> (u8, u8, Vec<u8>) {
    let header = Header { source_port: 1, destination_port: 2, verification_tag: 3 };
    let mut packet = written(|writer| {
        header.write(writer);
        write(writer);
    });
    assert!(parse(&packet, false).is_err(), "not sealed yet");
    seal(&mut packet);
    let (read, mut chunks) = parse(&packet, false).unwrap();
    assert_eq!(read, header);
    let chunk = chunks.next().unwrap().unwrap();
    assert!(chunks.next().is_none(), "padding is no chunk");
    (chunk.kind, chunk.flags, chunk.value.to_vec())
}

proptest! {
    #[test]
    fn data_is_read_as_it_was_written(
        interleaved: bool, flags in 0..16_u8, numbers: (u32, u16, u32, u32, u32),
        payload in prop::collection::vec(any::<u8>(), 1..2000),
    ) {
        let (tsn, stream, message, fragment, ppid) = numbers;
        let begin = flags & 2 != 0;
        let data = Data {
            tsn: Tsn(tsn),
            stream: StreamId(stream),
            unordered: flags & 4 != 0,
            begin,
            end: flags & 1 != 0,
            immediate: flags & 8 != 0,
            message: if interleaved { message } else { message & 0xffff },
            // I-DATA has room for one of the two.
            fragment: if interleaved && !begin { fragment } else { 0 },
            ppid: Ppid(if interleaved && !begin { 0 } else { ppid }),
            payload: &payload,
        };
        let (kind, flags, value) = chunk(|writer| data.write(writer, interleaved));
        prop_assert_eq!(kind, if interleaved { chunk_type::I_DATA } else { chunk_type::DATA });
        prop_assert_eq!(value.len() + 4, Data::wire_length(payload.len(), interleaved) - (padded(payload.len()) - payload.len()));
        prop_assert_eq!(Data::parse(flags, &value, interleaved), Ok(data));
    }

    #[test]
    fn forward_tsns_are_read_as_they_were_written(
        interleaved: bool, tsn: u32, skipped in prop::collection::vec(any::<(u16, bool, u32)>(), 0..100),
    ) {
        let skipped: Vec<_> = skipped.into_iter().map(|(stream, unordered, message)| Skipped {
            stream: StreamId(stream),
            unordered: unordered && interleaved,
            message: if interleaved { message } else { message & 0xffff },
        }).collect();
        let (_, _, value) = chunk(|writer| ForwardTsn::write(writer, Tsn(tsn), &skipped, interleaved));
        let read = ForwardTsn::parse(&value, interleaved).unwrap();
        prop_assert_eq!(read.cumulative_tsn, Tsn(tsn));
        prop_assert_eq!(read.skipped().collect::<Vec<_>>(), skipped);
    }

    #[test]
    fn resets_are_read_as_they_were_written(
        numbers: (u32, u32, u32), streams in prop::collection::vec(any::<u16>(), 0..200), result in 0..7_usize,
    ) {
        let (request, response, tsn) = (RequestNumber(numbers.0), RequestNumber(numbers.1), Tsn(numbers.2));
        let streams: Vec<_> = streams.into_iter().map(StreamId).collect();
        let (_, _, value) = chunk(|writer| Reconfig::write_request(writer, request, response, tsn, &streams));
        prop_assert_eq!(value.len().next_multiple_of(4) + 4, Reconfig::request_length(streams.len()));
        let read: Vec<_> = Reconfig::parse(&value).collect();
        let [ReconfigParameter::OutgoingReset { request: a, response: b, last_tsn: c, streams: named }] = read[..] else {
            panic!("{read:?}");
        };
        prop_assert_eq!((a, b, c, named.iter().collect::<Vec<_>>()), (request, response, tsn, streams));

        let result = [
            ResetResult::NothingToDo, ResetResult::Performed, ResetResult::Denied, ResetResult::WrongSsn,
            ResetResult::AlreadyInProgress, ResetResult::BadSequenceNumber, ResetResult::InProgress,
        ][result];
        let (_, _, value) = chunk(|writer| Reconfig::write_response(writer, response, result));
        prop_assert_eq!(Reconfig::parse(&value).collect::<Vec<_>>(), [ReconfigParameter::Response { response, result }]);
    }

    #[test]
    fn inits_are_read_as_they_were_written(
        numbers: (u32, u32, u16, u16, u32), flags: [bool; 7], cookie in prop::collection::vec(any::<u8>(), 1..300),
    ) {
        let [forward_tsn, reconfig, interleaving, zero_checksum, padding, partial_sacks, ecn] = flags;
        let extensions = Extensions { forward_tsn, reconfig, interleaving, zero_checksum, padding, partial_sacks, ecn };
        let (tag, window, outgoing_streams, incoming_streams, tsn) = numbers;
        let init = Init {
            tag, window, outgoing_streams, incoming_streams,
            initial_tsn: Tsn(tsn), extensions, cookie: &cookie, unrecognized: &[],
        };
        let (_, _, value) = chunk(|writer| init.write(writer, chunk_type::INIT_ACK));
        prop_assert_eq!(Init::parse(&value), Ok(init));
    }

    #[test]
    fn sacks_are_read_as_they_were_written(
        tsn: u32, window: u32, blocks in prop::collection::vec(any::<(u16, u16)>(), 0..200), duplicates in 0..50_usize,
    ) {
        let (_, _, value) = chunk(|writer| writer.chunk(chunk_type::SACK, 0, |writer| {
            writer.u32(tsn);
            writer.u32(window);
            writer.u16(blocks.len() as u16);
            writer.u16(duplicates as u16);
            for (start, end) in &blocks {
                writer.u16(*start);
                writer.u16(*end);
            }
            writer.zeros(4 * duplicates);
        }));
        prop_assert_eq!(value.len() + 4, Sack::wire_length(blocks.len(), duplicates));
        let read = Sack::parse(None, &value).unwrap();
        prop_assert_eq!((read.cumulative_tsn, read.window, read.duplicates), (Tsn(tsn), window, duplicates));
        prop_assert_eq!(read.blocks().map(|block| (block.start, block.end)).collect::<Vec<_>>(), blocks);
    }

    #[test]
    fn garbage_is_refused_quietly(bytes: Vec<u8>, flags: u8) {
        if let Ok((_, chunks)) = parse(&bytes, true) {
            prop_assert!(chunks.count() <= bytes.len());
        }
        for interleaved in [false, true] {
            let _ = Data::parse(flags, &bytes, interleaved);
            if let Ok(forward) = ForwardTsn::parse(&bytes, interleaved) {
                prop_assert!(forward.skipped().count() <= bytes.len());
            }
        }
        prop_assert!(Reconfig::parse(&bytes).count() <= bytes.len());
        let _ = Init::parse(&bytes);
        if let Ok(sack) = Sack::parse(Some(flags), &bytes) {
            prop_assert!(sack.blocks().count() <= bytes.len());
        }
    }

    #[test]
    fn one_flipped_bit_is_noticed(payload in prop::collection::vec(any::<u8>(), 1..100), bit: prop::sample::Index) {
        let mut packet = written(|writer| {
            Header { source_port: 1, destination_port: 2, verification_tag: 3 }.write(writer);
            writer.chunk(chunk_type::HEARTBEAT, 0, |writer| writer.bytes(&payload));
        });
        seal(&mut packet);
        prop_assert!(parse(&packet, false).is_ok());
        let bit = bit.index(packet.len() * 8);
        packet[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(parse(&packet, false).is_err());
    }
}
