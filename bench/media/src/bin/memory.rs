//! Prints what a protected packet of 1,200 bytes costs: of ours, of the bare ciphers, and of other
//! stacks; medians of interleaved rounds in one run.

use std::hint::black_box;
use std::time::{Duration, Instant};

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;
use columba_rtp::extension::{ExtensionForm, TransportSequenceNumber};
use columba_rtp::srtp::{MasterKey, Profile, SrtpReceiver, SrtpSender};
use columba_rtp::{FixedHeader, PacketMut, PacketWriter, PayloadType, RtpTimestamp, SequenceNumber, Ssrc};
use rtc_shared::marshal::{Marshal, Unmarshal};

const PACKET: usize = 1200;
const ROUNDS: usize = 15;
const PER_ROUND: usize = 20_000;

/// Packets that a forwarder finds in its socket.
const CHUNK: usize = 250;

/// One thing that is measured: it does it so many times, and returns the time of what counts.
type Run = Box<dyn FnMut(usize) -> Duration>;

fn main() {
    for profile in [Profile::AeadAes128Gcm, Profile::AeadAes256Gcm, Profile::Aes128CmSha1_80] {
        println!("\n{profile}, {PACKET} bytes");
        let mut runs = vec![
            ("the bare cipher, seal", bare_seal(profile)),
            ("ours, seal", our_seal(profile)),
            ("ours, seal and open", our_seal_and_open(profile)),
            ("ours, write and seal", our_write_and_seal(profile)),
            ("ours, open, rewrite and seal", our_forward(profile)),
            ("str0m, write and seal", str0m_write_and_seal(profile)),
            ("webrtc-rs, write and seal", rtc_write_and_seal(profile)),
            ("webrtc-rs, open, rewrite and seal", rtc_forward(profile)),
        ];
        let mut times = vec![Vec::new(); runs.len()];
        for _ in 0..ROUNDS {
            for ((_, run), times) in runs.iter_mut().zip(&mut times) {
                times.push(run(PER_ROUND).as_nanos() as f64 / PER_ROUND as f64);
            }
        }
        let median = |times: &mut Vec<f64>| {
            times.sort_by(f64::total_cmp);
            times[times.len() / 2]
        };
        let medians: Vec<f64> = times.iter_mut().map(median).collect();
        for ((name, _), median) in runs.iter().zip(&medians) {
            println!("{median:8.0} ns  {:5.2} x bare  {name}", median / medians[0]);
        }
    }
}

fn master(profile: Profile) -> MasterKey {
    MasterKey::new(profile, &vec![1; profile.key_len()], &vec![2; profile.salt_len()]).expect("lengths fit")
}

/// The same cipher and tag over the same bytes, and nothing else.
fn bare_seal(profile: Profile) -> Run {
    let mut buffer = vec![7; PACKET];
    let mut number = 0_u64;
    if profile == Profile::Aes128CmSha1_80 {
        let key = UnboundCipherKey::new(&AES_128, &[1; 16]).expect("16 bytes");
        let key = EncryptingKey::ctr(key).expect("AES has the mode");
        let mac = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &[1; 20]);
        return repeated(move || {
            number += 1;
            let mut iv = [0; 16];
            iv[..8].copy_from_slice(&number.to_be_bytes());
            let context = EncryptionContext::Iv128(FixedLength::from(iv));
            black_box(key.less_safe_encrypt(&mut buffer[12..], context).expect("it fits"));
            black_box(hmac::sign(&mac, &buffer));
        });
    }
    let algorithm = if profile == Profile::AeadAes256Gcm { &AES_256_GCM } else { &AES_128_GCM };
    let key = LessSafeKey::new(UnboundKey::new(algorithm, &vec![1; profile.key_len()]).expect("it fits"));
    repeated(move || {
        number += 1;
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&number.to_be_bytes());
        let (head, payload) = buffer.split_at_mut(12);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let sealed = key.seal_in_place_separate_tag(nonce, Aad::from(head), payload);
        let _tag = black_box(sealed.expect("it fits"));
    })
}

fn header(number: usize) -> FixedHeader {
    FixedHeader {
        marker: false,
        payload_type: PayloadType::new(96).expect("7 bits"),
        sequence_number: SequenceNumber(number as u16),
        timestamp: RtpTimestamp(number as u32),
        ssrc: Ssrc(1),
    }
}

fn plain() -> Vec<u8> {
    let mut buffer = vec![7; PACKET + 20];
    PacketWriter::new(&mut buffer, &header(0), ExtensionForm::OneByte).expect("it fits");
    buffer
}

fn our_seal(profile: Profile) -> Run {
    let mut sender = SrtpSender::new(&master(profile));
    let (mut buffer, mut number) = (plain(), 0);
    repeated(move || {
        number += 1;
        buffer[2..4].copy_from_slice(&(number as u16).to_be_bytes());
        black_box(sender.protect(&mut buffer, PACKET).expect("the number is new"));
    })
}

fn our_seal_and_open(profile: Profile) -> Run {
    let (mut sender, mut receiver) = (SrtpSender::new(&master(profile)), SrtpReceiver::new(&master(profile)));
    let (mut buffer, mut number) = (plain(), 0);
    repeated(move || {
        number += 1;
        buffer[2..4].copy_from_slice(&(number as u16).to_be_bytes());
        let len = sender.protect(&mut buffer, PACKET).expect("the number is new");
        black_box(receiver.unprotect(&mut buffer[..len]).expect("it is authentic"));
    })
}

fn our_write_and_seal(profile: Profile) -> Run {
    let mut sender = SrtpSender::new(&master(profile));
    let payload = vec![7; PACKET - 20];
    let (mut buffer, mut number) = (vec![0; PACKET + 20], 0);
    repeated(move || {
        number += 1;
        let len = PacketWriter::new(&mut buffer, &header(number), ExtensionForm::OneByte)
            .and_then(|writer| writer.extension(3, &TransportSequenceNumber(number as u16)))
            .and_then(|writer| writer.payload(&payload, 0))
            .expect("it fits");
        black_box(sender.protect(&mut buffer, len).expect("the number is new"));
    })
}

/// The work of a forwarder on packets that have arrived.
fn our_forward(profile: Profile) -> Run {
    let (mut sender, mut receiver) = (SrtpSender::new(&master(profile)), SrtpReceiver::new(&master(profile)));
    let mut onward = SrtpSender::new(&master(profile));
    let (mut arrived, mut number) = (vec![plain(); CHUNK], 0);
    in_chunks(move || {
        let mut sealed = 0;
        for buffer in &mut arrived {
            number += 1;
            write_numbers(buffer, number);
            sealed = sender.protect(buffer, PACKET).expect("the number is new");
        }
        let start = Instant::now();
        for buffer in &mut arrived {
            let len = receiver.unprotect(&mut buffer[..sealed]).expect("it is authentic");
            let mut packet = PacketMut::parse(&mut buffer[..len]).expect("it is a packet");
            packet.set_ssrc(Ssrc(9));
            packet.set_timestamp(RtpTimestamp(5));
            black_box(onward.protect(buffer, len).expect("the number is new"));
        }
        start.elapsed()
    })
}

fn str0m_write_and_seal(profile: Profile) -> Run {
    use str0m::crypto::dtls::{KeyingMaterial, SrtpProfile};
    let profile = match profile {
        Profile::AeadAes128Gcm => SrtpProfile::AEAD_AES_128_GCM,
        Profile::AeadAes256Gcm => SrtpProfile::AEAD_AES_256_GCM,
        _ => SrtpProfile::AES128_CM_SHA1_80,
    };
    let material = KeyingMaterial::new(&[1; 88][..profile.keying_material_len()]);
    let crypto = str0m::crypto::from_feature_flags();
    let mut sender = str0m::_internal_test_exports::TestSrtp::new(&crypto, profile, &material);
    let extensions = str0m::rtp::ExtensionMap::standard();
    let payload = vec![7; PACKET - 20];
    let mut number = 0_u64;
    repeated(move || {
        number += 1;
        let mut header = str0m::rtp::RtpHeader {
            sequence_number: number as u16,
            ssrc: 1.into(),
            payload_type: 96.into(),
            ..Default::default()
        };
        header.ext_vals.transport_cc = Some(number as u16);
        black_box(sender.protect(header, number, &payload, &extensions));
    })
}

fn rtc_context(profile: Profile) -> rtc_srtp::context::Context {
    use rtc_srtp::protection_profile::ProtectionProfile;
    let own = match profile {
        Profile::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
        Profile::AeadAes256Gcm => ProtectionProfile::AeadAes256Gcm,
        _ => ProtectionProfile::Aes128CmHmacSha1_80,
    };
    let window = rtc_srtp::option::srtp_replay_protection(64);
    let crypto = rtc_srtp::crypto::providers::AwsLcRsCrypto;
    let (key, salt) = (vec![1; profile.key_len()], vec![2; profile.salt_len()]);
    rtc_srtp::context::Context::new(&key, &salt, own, Some(window), None, &crypto).expect("lengths fit")
}

fn rtc_header(number: usize) -> rtc_rtp::Header {
    let mut header = rtc_rtp::Header {
        version: 2,
        payload_type: 96,
        sequence_number: number as u16,
        timestamp: number as u32,
        ssrc: 1,
        ..Default::default()
    };
    let value = (number as u16).to_be_bytes();
    header.set_extension(3, bytes::Bytes::copy_from_slice(&value)).expect("it fits");
    header
}

fn rtc_write_and_seal(profile: Profile) -> Run {
    let mut sender = rtc_context(profile);
    let payload = bytes::Bytes::from(vec![7; PACKET - 20]);
    let mut number = 0;
    repeated(move || {
        number += 1;
        let packet = rtc_rtp::Packet { header: rtc_header(number), payload: payload.clone() };
        let bytes = packet.marshal().expect("it fits");
        black_box(sender.encrypt_rtp_with_header(&bytes, &packet.header).expect("the number is new"));
    })
}

fn rtc_forward(profile: Profile) -> Run {
    let (mut sender, mut receiver, mut onward) =
        (rtc_context(profile), rtc_context(profile), rtc_context(profile));
    let (mut buffer, mut number) = (plain(), 0);
    buffer.truncate(PACKET);
    in_chunks(move || {
        let arrived: Vec<_> = std::iter::repeat_with(|| {
            number += 1;
            write_numbers(&mut buffer, number);
            sender.encrypt_rtp(&buffer).expect("the number is new")
        })
        .take(CHUNK)
        .collect();
        let start = Instant::now();
        for sealed in &arrived {
            let opened = receiver.decrypt_rtp(sealed).expect("it is authentic");
            let mut packet = rtc_rtp::Packet::unmarshal(&mut opened.freeze()).expect("it is a packet");
            packet.header.ssrc = 9;
            packet.header.timestamp = 5;
            let bytes = packet.marshal().expect("it fits");
            black_box(onward.encrypt_rtp_with_header(&bytes, &packet.header).expect("the number is new"));
        }
        start.elapsed()
    })
}

/// Gives a packet the number of the sender's next one.
fn write_numbers(packet: &mut [u8], number: usize) {
    packet[2..4].copy_from_slice(&(number as u16).to_be_bytes());
    packet[8..12].copy_from_slice(&1_u32.to_be_bytes());
}

/// All of it counts.
fn repeated(mut one: impl FnMut() + 'static) -> Run {
    Box::new(move |count| {
        let start = Instant::now();
        for _ in 0..count {
            one();
        }
        start.elapsed()
    })
}

/// Of a chunk only a part counts.
fn in_chunks(mut chunk: impl FnMut() -> Duration + 'static) -> Run {
    Box::new(move |count| (0..count / CHUNK).map(|_| chunk()).sum())
}
