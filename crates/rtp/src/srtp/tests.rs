//! Vectors of the RFCs, and what a receiver refuses.

use super::cipher::{Cipher, Kind};
use super::*;
use crate::bytes_at::put16;
use crate::{SequenceNumber, Ssrc};

const PROFILES: [Profile; 4] =
    [Profile::Aes128CmSha1_80, Profile::Aes128CmSha1_32, Profile::AeadAes128Gcm, Profile::AeadAes256Gcm];

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let value = |digit: u8| (digit as char).to_digit(16).unwrap() as u8;
    digits.chunks(2).map(|pair| value(pair[0]) << 4 | value(pair[1])).collect()
}

fn master(profile: Profile) -> MasterKey {
    MasterKey::new(profile, &vec![1; profile.key_len()], &vec![2; profile.salt_len()]).unwrap()
}

fn pair(profile: Profile) -> (SrtpSender, SrtpReceiver) {
    (SrtpSender::new(&master(profile)), SrtpReceiver::new(&master(profile)))
}

fn packet(sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 96, 0, 0, 0, 0, 0, 1, 0, 0, 0, 7];
    put16(&mut packet, 2, sequence);
    packet.extend_from_slice(b"payload of the packet");
    packet
}

fn protect(sender: &mut SrtpSender, packet: &[u8]) -> Vec<u8> {
    let mut buffer = packet.to_vec();
    buffer.resize(packet.len() + MAX_OVERHEAD, 0);
    let len = sender.protect(&mut buffer, packet.len()).unwrap();
    buffer.truncate(len);
    buffer
}

fn unprotect(receiver: &mut SrtpReceiver, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut packet = packet.to_vec();
    let len = receiver.unprotect(&mut packet)?;
    packet.truncate(len);
    Ok(packet)
}

fn gcm(kind: Kind, key_len: u8) -> Cipher {
    let key: Vec<u8> = (0..key_len).collect();
    let profile = if key_len == 32 { Profile::AeadAes256Gcm } else { Profile::AeadAes128Gcm };
    Cipher::with_session_keys(profile, kind, &key, &[0; 20], b"Quid pro quo")
}

/// RFC 7714 §16.1 and §16.2.
#[test]
fn rtp_vectors_of_rfc_7714() {
    let plain = hex("8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976
        69736120 696e2070 61727465 73207472 6573");
    let short = "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f
        42a5f47a 51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce";
    let long = "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3
        b50b2a02 76ffae0f 1ba63799 b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13";
    for (key_len, expected) in [(16, hex(short)), (32, hex(long))] {
        let mut buffer = plain.clone();
        buffer.resize(plain.len() + 16, 0);
        let cipher = gcm(Kind::Rtp, key_len);
        cipher.seal_rtp(&mut buffer, 12, plain.len(), Ssrc(0x5501_A0B2), 0xF17B);
        assert_eq!(buffer, expected);
        cipher.open_rtp(&mut buffer, 12, plain.len(), Ssrc(0x5501_A0B2), 0xF17B).unwrap();
        assert_eq!(buffer[..plain.len()], plain);
    }
}

/// RFC 7714 §17.1 and §17.2.
#[test]
fn rtcp_vectors_of_rfc_7714() {
    let plain = hex("81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61
        deadbeef deadbeef deadbeef deadbeef deadbeef");
    let short = "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d
        c676a5f1 730d6fda 4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4";
    let long = "81c8000d 4d617273 d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50
        a2eaa5c1 110555be 8415f658 c61de047 6f1b6fad 1d1eb30c 4446839f 57ff6f6c b26ac3be 800005d4";
    for (key_len, expected) in [(16, hex(short)), (32, hex(long))] {
        let mut buffer = plain.clone();
        buffer.resize(plain.len() + 20, 0);
        let cipher = gcm(Kind::Rtcp, key_len);
        cipher.seal_rtcp(&mut buffer, plain.len(), Ssrc(0x4D61_7273), 0x5D4);
        assert_eq!(buffer, expected);
        assert_eq!(cipher.rtcp_index(&buffer), Ok(0x5D4));
        cipher.open_rtcp(&mut buffer, plain.len(), Ssrc(0x4D61_7273), 0x5D4).unwrap();
        assert_eq!(buffer[..plain.len()], plain);
    }
}

/// RFC 7714 §17.3 only authenticates; WebRTC does not allow that.
#[test]
fn rtcp_in_the_clear_is_refused() {
    let (mut sender, mut receiver) = pair(Profile::AeadAes128Gcm);
    let mut buffer = [0; 28];
    buffer[..8].copy_from_slice(&[0x80, 201, 0, 1, 0, 0, 0, 1]);
    let len = sender.protect_rtcp(&mut buffer, 8).unwrap();
    buffer[len - 4] &= 0x7F;
    assert_eq!(receiver.unprotect_rtcp(&mut buffer[..len]), Err(SrtpError::NotEncrypted));
}

#[test]
fn packets_come_back_and_damage_does_not() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        for sequence in 0..50 {
            let plain = packet(sequence);
            let sealed = protect(&mut sender, &plain);
            assert_eq!(sealed.len(), plain.len() + profile.rtp_overhead());
            let mut damaged = sealed.clone();
            let at = usize::from(sequence) % (sealed.len() - 12) + 12;
            damaged[at] ^= 0x40;
            assert_eq!(unprotect(&mut receiver, &damaged), Err(SrtpError::NotAuthentic), "{profile}");
            assert_eq!(unprotect(&mut receiver, &sealed).unwrap(), plain, "{profile}");
            assert_eq!(unprotect(&mut receiver, &sealed), Err(SrtpError::Repeated), "{profile}");
        }
        assert_eq!(receiver.stats().not_authentic, 50);
        assert_eq!(receiver.stats().repeated, 50);
    }
}

#[test]
fn rtcp_comes_back_and_damage_does_not() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        for _ in 0..10 {
            let mut buffer = vec![0; 64];
            buffer[..12].copy_from_slice(&[0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]);
            let len = sender.protect_rtcp(&mut buffer, 12).unwrap();
            assert_eq!(len, 12 + profile.rtcp_overhead());
            buffer.truncate(len);
            let mut damaged = buffer.clone();
            damaged[9] ^= 1;
            assert_eq!(receiver.unprotect_rtcp(&mut damaged), Err(SrtpError::NotAuthentic));
            let mut again = buffer.clone();
            assert_eq!(receiver.unprotect_rtcp(&mut buffer), Ok(12));
            assert_eq!(buffer[..12], [0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]);
            assert_eq!(receiver.unprotect_rtcp(&mut again), Err(SrtpError::Repeated));
        }
    }
}

/// 200,000 packets wrap three times; every hundredth arrives late, every tenth not at all.
#[test]
fn roll_over_survives_losses_and_reordering() {
    for profile in [Profile::Aes128CmSha1_80, Profile::AeadAes128Gcm] {
        let (mut sender, mut receiver) = pair(profile);
        let mut late = Vec::new();
        for number in 60_000..260_000_u32 {
            let plain = packet(number as u16);
            let sealed = protect(&mut sender, &plain);
            match number % 100 {
                3 => late.push((plain, sealed)),
                7 | 17 => {}
                _ => assert_eq!(unprotect(&mut receiver, &sealed).unwrap(), plain),
            }
            if number % 100 == 50 {
                for (plain, sealed) in late.drain(..) {
                    assert_eq!(unprotect(&mut receiver, &sealed).unwrap(), plain);
                }
            }
        }
    }
}

/// The sender has wrapped before its first packet came through.
#[test]
fn streams_whose_beginning_is_lost_are_joined() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        for number in 65_500..65_540_u32 {
            protect(&mut sender, &packet(number as u16));
        }
        let plain = packet(5);
        let sealed = protect(&mut sender, &plain);
        assert_eq!(unprotect(&mut receiver, &sealed).unwrap(), plain);
    }
}

/// 40,000 packets in a row are lost, more than half of the space: the guess is wrong at first.
#[test]
fn streams_recover_from_losing_more_than_half_of_the_space() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        for number in 0..20_000_u32 {
            let sealed = protect(&mut sender, &packet(number as u16));
            if number < 100 {
                unprotect(&mut receiver, &sealed).unwrap();
            }
        }
        for number in 20_000..70_000_u32 {
            protect(&mut sender, &packet(number as u16));
        }
        let opened = (70_000..70_020_u32)
            .filter(|number| {
                let sealed = protect(&mut sender, &packet(*number as u16));
                unprotect(&mut receiver, &sealed).is_ok()
            })
            .count();
        assert!(opened >= 12, "{profile}: {opened}");
    }
}

#[test]
fn numbers_are_used_once() {
    let (mut sender, _) = pair(Profile::AeadAes128Gcm);
    protect(&mut sender, &packet(3000));
    protect(&mut sender, &packet(2999));
    for used in [2999, 3000, 3000 - 1024] {
        let mut buffer = packet(used);
        buffer.resize(100, 0);
        let before = buffer.clone();
        let error = sender.protect(&mut buffer, 33);
        let expected = SrtpError::SequenceUsed { ssrc: Ssrc(7), sequence: SequenceNumber(used) };
        assert_eq!(error, Err(expected));
        assert_eq!(buffer, before);
    }
}

#[test]
fn streams_and_keys_have_limits() {
    let key = master(Profile::AeadAes128Gcm);
    let mut sender = SrtpSender::with_max_streams(&key, 1);
    let mut receiver = SrtpReceiver::with_max_streams(&key, 1);
    let first = protect(&mut sender, &packet(1));
    unprotect(&mut receiver, &first).unwrap();
    let mut other = packet(1);
    other[11] = 8;
    let sealed = protect(&mut SrtpSender::new(&key), &other);
    assert_eq!(unprotect(&mut receiver, &sealed), Err(SrtpError::TooManyStreams { limit: 1 }));
    other.resize(100, 0);
    assert_eq!(sender.protect(&mut other, 33), Err(SrtpError::TooManyStreams { limit: 1 }));
    sender.set_counts(MAX_RTP_PACKETS, MAX_RTCP_PACKETS);
    let mut next = packet(2);
    next.resize(100, 0);
    assert_eq!(sender.protect(&mut next, 33), Err(SrtpError::KeyExhausted));
    assert_eq!(sender.protect_rtcp(&mut next, 12), Err(SrtpError::KeyExhausted));
}

/// Forged packets make no stream, and do not move one.
#[test]
fn forgeries_change_nothing() {
    let (mut sender, mut receiver) = pair(Profile::Aes128CmSha1_80);
    for ssrc in 0..10_000_u32 {
        let mut forged = packet(1);
        forged[8..12].copy_from_slice(&ssrc.to_be_bytes());
        forged.extend_from_slice(&[0; 10]);
        assert_eq!(unprotect(&mut receiver, &forged), Err(SrtpError::NotAuthentic));
    }
    let plain = packet(1);
    let sealed = protect(&mut sender, &plain);
    assert_eq!(unprotect(&mut receiver, &sealed).unwrap(), plain);
    for sequence in [30_000, 40_000, 65_535] {
        let mut forged = packet(sequence);
        forged.extend_from_slice(&[0; 10]);
        assert_eq!(unprotect(&mut receiver, &forged), Err(SrtpError::NotAuthentic));
    }
    let plain = packet(2);
    let sealed = protect(&mut sender, &plain);
    assert_eq!(unprotect(&mut receiver, &sealed).unwrap(), plain);
}

#[test]
fn room_is_asked_for_and_short_packets_are_refused() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        let mut plain = packet(1);
        let (len, needed) = (plain.len(), plain.len() + profile.rtp_overhead());
        assert_eq!(sender.protect(&mut plain, len), Err(SrtpError::NoRoom { needed }));
        for len in 0..40 {
            let mut short = vec![0x80; len];
            assert!(receiver.unprotect(&mut short).is_err());
            let mut short = vec![0x80; len];
            assert!(receiver.unprotect_rtcp(&mut short).is_err());
        }
    }
}
