//! STUN messages: parsing, verifying, building, and channel data.
//!
//! The sizes are those of an ICE connectivity check and its answer, the message that every path
//! sends most.

use std::hint::black_box;

use columba_stun::attributes::{IceControlling, Priority, Username, XorMappedAddress};
use columba_stun::{
    BuildError, ChannelData, ChannelNumber, Class, IntegrityKey, Message, MessageBuilder, Method,
    TransactionId, stream,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const ID: TransactionId = TransactionId(*b"benchmark id");
const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";

fn build_check(buffer: &mut [u8], key: &IntegrityKey) -> Result<usize, BuildError> {
    Ok(MessageBuilder::new(buffer, Class::Request, Method::BINDING, ID)?
        .push(&Username("evtj:h6vY"))?
        .push(&Priority(0x6e00_01ff))?
        .push(&IceControlling(0x932f_f9b1_5126_3b36))?
        .integrity(key)?
        .fingerprint()?
        .finish())
}

fn build_answer(buffer: &mut [u8], request: &Message<'_>, key: &IntegrityKey) -> Result<usize, BuildError> {
    Ok(MessageBuilder::success(buffer, request)?
        .push(&XorMappedAddress(([192, 0, 2, 1], 32853).into()))?
        .integrity(key)?
        .fingerprint()?
        .finish())
}

fn messages(criterion: &mut Criterion) {
    let key = IntegrityKey::short_term(PASSWORD);
    let mut buffer = [0; 256];
    let length = build_check(&mut buffer, &key).expect("the buffer is large enough");
    let check = &buffer[..length];
    let request = Message::parse(check).expect("what was built");

    let mut group = criterion.benchmark_group("stun");
    group.throughput(Throughput::Elements(1));
    group.bench_function("parse", |bencher| bencher.iter(|| Message::parse(black_box(check))));
    group.bench_function("parse and read attributes", |bencher| {
        bencher.iter(|| {
            let message = Message::parse(black_box(check)).expect("what was built");
            (message.get::<Username<'_>>(), message.get::<Priority>(), message.get::<IceControlling>())
        });
    });
    group.bench_function("verify integrity", |bencher| {
        bencher.iter(|| black_box(&request).verify_integrity(black_box(&key)));
    });
    group.bench_function("verify fingerprint", |bencher| {
        bencher.iter(|| black_box(&request).verify_fingerprint());
    });
    group.bench_function("build with integrity and fingerprint", |bencher| {
        let mut buffer = [0; 256];
        bencher.iter(|| build_check(black_box(&mut buffer), &key));
    });
    group.bench_function("answer a check: parse, verify, build", |bencher| {
        let mut buffer = [0; 256];
        bencher.iter(|| {
            let request = Message::parse(black_box(check)).expect("what was built");
            request.verify_fingerprint().expect("good");
            request.verify_integrity(&key).expect("good");
            build_answer(&mut buffer, &request, &key)
        });
    });
    group.bench_function("prepare a key", |bencher| {
        bencher.iter(|| IntegrityKey::short_term(black_box(PASSWORD)));
    });
    group.bench_function("prepare a long-term key", |bencher| {
        bencher.iter(|| IntegrityKey::long_term_md5(black_box("1700000000:alice"), "example.org", PASSWORD));
    });
    group.finish();
}

fn channel_data(criterion: &mut Criterion) {
    const PAYLOAD: usize = 1200;
    let mut datagram = ChannelData::header(ChannelNumber::MIN, PAYLOAD).expect("short enough").to_vec();
    datagram.resize(datagram.len() + PAYLOAD, 7);

    let mut group = criterion.benchmark_group("channel data");
    group.throughput(Throughput::Bytes(PAYLOAD as u64));
    group.bench_function("parse", |bencher| bencher.iter(|| ChannelData::parse(black_box(&datagram))));
    group.bench_function("read from a stream", |bencher| {
        let mut reader = stream::Reader::new();
        bencher.iter(|| {
            reader.feed(black_box(&datagram));
            reader.next_frame().map(|frame| frame.is_some())
        });
    });
    group.finish();
}

criterion_group!(benches, messages, channel_data);
criterion_main!(benches);
