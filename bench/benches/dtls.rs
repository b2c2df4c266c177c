//! DTLS in memory, beside the crate `dimpl`, rustls' TLS 1.3 and the bare AEAD, in one run: records
//! of 1,200 bytes sealed and opened, and whole handshakes.

#[path = "dtls/rustls.rs"]
mod rustls;

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::rustls::crypto::aws_lc_rs::kx_group as aws_lc_rs_groups;
use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use columba_dtls::{
    Association, Certificate, Config, Event, Group, HashFunction, KeyAlgorithm, Role, Versions,
};
use criterion::measurement::WallTime;
use criterion::{
    BatchSize, BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use dimpl::{Dtls, DtlsCertificate, Output};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

const PACKET: usize = 1200;

fn certificates() -> [Certificate; 2] {
    [1, 2].map(|seed| {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let wall = Duration::from_secs(1_790_000_000);
        Certificate::generate(KeyAlgorithm::EcdsaP256, &mut rng, wall, wall * 2).unwrap()
    })
}

fn pair(own: &[Certificate; 2], versions: Versions, group: Group, now: Instant) -> [Association; 2] {
    let mut rng = ChaCha20Rng::seed_from_u64(now.elapsed().as_nanos() as u64);
    [Role::Client, Role::Server].map(|role| {
        let index = usize::from(role == Role::Server);
        let mut config = Config::new(own[index].clone());
        (config.versions, config.groups) = (versions, vec![group]);
        let other = vec![own[1 - index].fingerprint(HashFunction::Sha256)];
        Association::new(role, Arc::new(config), other, now, &mut rng)
    })
}

fn connect(pair: &mut [Association; 2], now: Instant) {
    let mut buf = [0; 2048];
    let mut connected = 0;
    while connected < 2 {
        for from in 0..2 {
            while let Some(length) = pair[from].poll_transmit(now, &mut buf) {
                pair[1 - from].handle_input(now, &mut buf[..length]);
            }
        }
        for side in &mut *pair {
            while let Some(event) = side.poll_event() {
                connected += usize::from(event == Event::Connected);
            }
        }
    }
}

/// The machines of the crate `dimpl`; its configuration is made once, as applications do.
struct Dimpl(Arc<dimpl::Config>);

impl Dimpl {
    fn new(group: Option<dimpl::NamedGroup>) -> Self {
        let mut builder = dimpl::Config::builder().use_server_cookie(false);
        if let Some(group) = group {
            builder = builder.kx_groups(&[group]);
        }
        Self(Arc::new(builder.build().unwrap()))
    }

    fn pair(&self, own: &[Certificate; 2], versions: Versions, now: Instant) -> [Dtls; 2] {
        [true, false].map(|client| {
            let own = &own[usize::from(!client)];
            let certificate = DtlsCertificate {
                certificate: own.der().to_vec(),
                private_key: own.private_key_der().to_vec(),
            };
            let mut machine = match versions {
                Versions::Only12 => Dtls::new_12(self.0.clone(), certificate, now),
                _ => Dtls::new_13(self.0.clone(), certificate, now),
            };
            machine.set_active(client);
            machine.handle_timeout(now).unwrap();
            machine
        })
    }
}

fn connect_dimpl(pair: &mut [Dtls; 2]) {
    let mut buf = vec![0; 65_536];
    let mut connected = 0;
    while connected < 2 {
        for from in 0..2 {
            loop {
                match pair[from].poll_output(&mut buf) {
                    Output::Packet(datagram) => pair[1 - from].handle_packet(datagram).unwrap(),
                    Output::Timeout(_) => break,
                    Output::Connected => connected += 1,
                    _ => {}
                }
            }
        }
    }
}

fn handshakes(criterion: &mut Criterion) {
    let own = certificates();
    let mut bench = criterion.benchmark_group("handshake");
    bench.sample_size(30);
    for (versions, name) in [(Versions::Only12, "1.2"), (Versions::Only13, "1.3")] {
        for (group, theirs) in [
            (Group::X25519, dimpl::NamedGroup::X25519),
            (Group::Secp256r1, dimpl::NamedGroup::Secp256r1),
            (Group::Secp384r1, dimpl::NamedGroup::Secp384r1),
        ] {
            let label = format!("{name} {}", group.name());
            bench.bench_function(BenchmarkId::new("columba", &label), |bencher| {
                bencher.iter(|| {
                    let now = Instant::now();
                    connect(&mut pair(&own, versions, group, now), now);
                });
            });
            let dimpl = Dimpl::new(Some(theirs));
            bench.bench_function(BenchmarkId::new("dimpl", &label), |bencher| {
                bencher.iter(|| connect_dimpl(&mut dimpl.pair(&own, versions, Instant::now())));
            });
        }
    }
    // `dimpl` has no group that is proof against quantum computers.
    for (group, theirs) in
        [(Group::X25519, aws_lc_rs_groups::X25519), (Group::X25519MlKem768, aws_lc_rs_groups::X25519MLKEM768)]
    {
        let label = format!("1.3 {}", group.name());
        if group == Group::X25519MlKem768 {
            bench.bench_function(BenchmarkId::new("columba", &label), |bencher| {
                bencher.iter(|| {
                    let now = Instant::now();
                    connect(&mut pair(&own, Versions::Only13, group, now), now);
                });
            });
        }
        let rustls = rustls::Peers::new(&own, theirs);
        bench.bench_function(BenchmarkId::new("rustls", &label), |bencher| bencher.iter(|| rustls.connect()));
    }
}

fn records(criterion: &mut Criterion) {
    let own = certificates();
    let mut bench = criterion.benchmark_group("record");
    bench.throughput(Throughput::Bytes(PACKET as u64));
    aead_records(&mut bench);
    for (versions, name) in [(Versions::Only12, "1.2"), (Versions::Only13, "1.3")] {
        columba_records(&mut bench, &own, versions, name);
        dimpl_records(&mut bench, &own, versions, name);
    }
}

/// The cipher alone.
fn aead_records(bench: &mut BenchmarkGroup<'_, WallTime>) {
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &[7; 16]).unwrap());
    let nonce = || Nonce::assume_unique_for_key([3; 12]);
    let mut buf = vec![0; PACKET];
    bench.bench_function("seal/aead", |bencher| {
        bencher.iter(|| {
            let tag = key.seal_in_place_separate_tag(nonce(), Aad::from([1; 13]), &mut buf);
            let _ = black_box(tag.unwrap());
        });
    });
    let mut sealed = vec![0; PACKET];
    key.seal_in_place_append_tag(nonce(), Aad::from([1; 13]), &mut sealed).unwrap();
    bench.bench_function("open/aead", |bencher| {
        let copy = |sealed: &Vec<u8>| sealed.clone();
        bencher.iter_batched_ref(
            || copy(&sealed),
            |sealed| {
                black_box(key.open_in_place(nonce(), Aad::from([1; 13]), sealed).unwrap().len());
            },
            BatchSize::SmallInput,
        );
    });
}

fn columba_records(
    bench: &mut BenchmarkGroup<'_, WallTime>,
    own: &[Certificate; 2],
    versions: Versions,
    name: &str,
) {
    let now = Instant::now();
    let mut ours = pair(own, versions, Group::X25519, now);
    connect(&mut ours, now);
    let (front, back) = ours[0].overhead();
    let mut buf = vec![0; front + PACKET + back];
    bench.bench_function(BenchmarkId::new("seal/columba", name), |bencher| {
        bencher.iter(|| black_box(ours[0].seal(&mut buf, front..front + PACKET).unwrap()));
    });
    bench.bench_function(BenchmarkId::new("open/columba", name), |bencher| {
        bencher.iter_custom(|count| {
            let mut time = Duration::ZERO;
            for _ in 0..count {
                let record = ours[0].seal(&mut buf, front..front + PACKET).unwrap();
                let begun = Instant::now();
                ours[1].handle_input(now, &mut buf[record.clone()]);
                assert!(black_box(ours[1].read(&buf[record])).is_some());
                time += begun.elapsed();
            }
            time
        });
    });
}

fn dimpl_records(
    bench: &mut BenchmarkGroup<'_, WallTime>,
    own: &[Certificate; 2],
    versions: Versions,
    name: &str,
) {
    let dimpl = Dimpl::new(None);
    let mut theirs = dimpl.pair(own, versions, Instant::now());
    connect_dimpl(&mut theirs);
    let (packet, mut record) = (vec![0; PACKET], vec![0; 2048]);
    let seal = |machine: &mut Dtls, record: &mut [u8]| loop {
        machine.send_application_data(&packet).unwrap();
        loop {
            match machine.poll_output(record) {
                Output::Packet(datagram) if datagram.len() > PACKET => return datagram.len(),
                Output::Timeout(_) => break,
                _ => {}
            }
        }
    };
    bench.bench_function(BenchmarkId::new("seal/dimpl", name), |bencher| {
        bencher.iter(|| black_box(seal(&mut theirs[0], &mut record)));
    });
    let mut plain = vec![0; 2048];
    bench.bench_function(BenchmarkId::new("open/dimpl", name), |bencher| {
        bencher.iter_custom(|count| {
            let mut time = Duration::ZERO;
            for _ in 0..count {
                let length = seal(&mut theirs[0], &mut record);
                let begun = Instant::now();
                theirs[1].handle_packet(&record[..length]).unwrap();
                loop {
                    match theirs[1].poll_output(&mut plain) {
                        Output::ApplicationData(data) => drop(black_box(data.len())),
                        Output::Timeout(_) => break,
                        _ => {}
                    }
                }
                time += begun.elapsed();
            }
            time
        });
    });
}

criterion_group!(benches, records, handshakes);
criterion_main!(benches);
