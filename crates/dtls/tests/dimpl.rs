//! Handshakes with the crate `dimpl`, both roles and versions, whole and over a lossy path.

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use columba_dtls::{
    Association, Certificate, Config, Event, Group, HashFunction, KeyAlgorithm, Role, Version, Versions,
};
use common::{certificates, configs, fingerprints, seal, start};
use dimpl::{Dtls, DtlsCertificate, Output};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The other side, and what it has said.
struct Dimpl {
    machine: Dtls,
    timeout: Option<Instant>,
    connected: bool,
    closed: bool,
    certificate: Vec<u8>,
    material: Vec<u8>,
    packets: Vec<Vec<u8>>,
}

impl Dimpl {
    fn new(certificate: &Certificate, versions: Versions, client: bool, now: Instant, seed: u64) -> Self {
        let config = dimpl::Config::builder()
            .mtu(1200)
            .max_queue_rx(30)
            .max_queue_tx(30)
            .use_server_cookie(seed % 2 == 1)
            .flight_start_rto(Duration::from_millis(200))
            .flight_retries(40)
            .handshake_timeout(Duration::from_secs(60))
            .dangerously_set_rng_seed(seed);
        let config = Arc::new(config.build().unwrap());
        let certificate = DtlsCertificate {
            certificate: certificate.der().to_vec(),
            private_key: certificate.private_key_der().to_vec(),
        };
        let mut machine = match versions {
            Versions::Both => Dtls::new_auto(config, certificate, now),
            Versions::Only12 => Dtls::new_12(config, certificate, now),
            Versions::Only13 => Dtls::new_13(config, certificate, now),
        };
        machine.set_active(client);
        Self {
            machine,
            timeout: Some(now),
            connected: false,
            closed: false,
            certificate: Vec::new(),
            material: Vec::new(),
            packets: Vec::new(),
        }
    }

    fn drain(&mut self) -> Vec<Vec<u8>> {
        let mut buf = vec![0; 65_536];
        let mut datagrams = Vec::new();
        loop {
            match self.machine.poll_output(&mut buf) {
                Output::Packet(datagram) => datagrams.push(datagram.to_vec()),
                Output::Timeout(at) => {
                    self.timeout = Some(at);
                    return datagrams;
                }
                Output::Connected => self.connected = true,
                Output::PeerCert(der) => self.certificate = der.to_vec(),
                Output::KeyingMaterial(material, _) => self.material = material.to_vec(),
                Output::ApplicationData(packet) => self.packets.push(packet.to_vec()),
                Output::CloseNotify => self.closed = true,
                other => panic!("{other:?}"),
            }
        }
    }
}

struct Case {
    ours: Config,
    theirs: Versions,
    client: bool,
    loss: u32,
    seed: u64,
}

/// Connects the two, exchanges packets, and closes. Returns the own side.
fn run(case: Case) -> Association {
    let mut now = start();
    let mut rng = ChaCha20Rng::seed_from_u64(case.seed);
    let other = &certificates(KeyAlgorithm::EcdsaP256)[usize::from(case.client)];
    let role = if case.client { Role::Client } else { Role::Server };
    let own_der = case.ours.certificate.der().to_vec();
    let mut own = Association::new(role, Arc::new(case.ours), fingerprints(other), now, &mut rng);
    let mut dimpl = Dimpl::new(other, case.theirs, !case.client, now, case.seed);
    dimpl.machine.handle_timeout(now).unwrap();
    let end = now + Duration::from_secs(60);
    let mut buf = vec![0; 2048];
    let (mut connected, mut sent, mut got) = (false, [0, 0], Vec::new());
    while now < end {
        let mut idle = true;
        while let Some(length) = own.poll_transmit(now, &mut buf) {
            idle = false;
            if rng.next_u32() % 100 >= case.loss {
                dimpl.machine.handle_packet(&buf[..length]).unwrap();
            }
        }
        for mut datagram in dimpl.drain() {
            idle = false;
            if rng.next_u32() % 100 >= case.loss {
                own.handle_input(now, &mut datagram);
                while let Some(packet) = own.read(&datagram) {
                    got.push(packet.to_vec());
                }
            }
        }
        while let Some(event) = own.poll_event() {
            assert_eq!(event, Event::Connected, "seed {}", case.seed);
            connected = true;
        }
        if connected && dimpl.connected && sent[0] < 40 {
            sent[0] += 1;
            let datagram = seal(&mut own, &[7; 300]);
            dimpl.machine.handle_packet(&datagram).unwrap();
            continue;
        }
        if connected && dimpl.connected && sent[1] < 40 {
            sent[1] += 1;
            dimpl.machine.send_application_data(&[8; 400]).unwrap();
            continue;
        }
        if idle && connected && dimpl.connected {
            break;
        }
        if idle {
            now = [own.poll_timeout(), dimpl.timeout].into_iter().flatten().min().unwrap().max(now);
            own.handle_timeout(now);
            dimpl.machine.handle_timeout(now).unwrap();
        }
    }
    assert!(connected && dimpl.connected, "seed {} {:?}", case.seed, own);
    assert_eq!(dimpl.certificate, own_der);
    assert_eq!(own.peer_certificate(), Some(other.der()));
    if case.loss == 0 {
        assert_eq!((dimpl.packets.len(), got.len()), (40, 40));
    }
    assert!(dimpl.packets.iter().all(|packet| *packet == [7; 300]));
    assert!(got.iter().all(|packet| *packet == [8; 400]));
    let keys = own.srtp_keys().unwrap();
    let (client, server) =
        if case.client { (&keys.local, &keys.remote) } else { (&keys.remote, &keys.local) };
    let material = [&client.key[..], &server.key, &client.salt, &server.salt].concat();
    assert_eq!(dimpl.material, material);
    own.close();
    while let Some(length) = own.poll_transmit(now, &mut buf) {
        dimpl.machine.handle_packet(&buf[..length]).unwrap();
    }
    dimpl.drain();
    assert!(dimpl.closed);
    own
}

fn config(client: bool, versions: Versions) -> Config {
    let [one, other] = configs();
    let mut config = if client { one } else { other };
    // The path is proven by its fingerprint in either order.
    config.certificate = certificates(KeyAlgorithm::EcdsaP256)[usize::from(!client)].clone();
    assert!(!config.certificate.fingerprint(HashFunction::Sha256).digest.is_empty());
    config.versions = versions;
    config
}

#[test]
fn both_roles_and_versions_connect() {
    use Versions as V;
    for client in [true, false] {
        for (ours, theirs) in [
            (V::Only12, V::Only12),
            (V::Only13, V::Only13),
            (V::Both, V::Both),
            (V::Both, V::Only12),
            (V::Only12, V::Both),
        ] {
            for seed in 0..2 {
                let case = Case { ours: config(client, ours), theirs, client, loss: 0, seed };
                let own = run(case);
                let version =
                    if ours == V::Only12 || theirs == V::Only12 { Version::Dtls12 } else { Version::Dtls13 };
                assert_eq!(own.negotiated().unwrap().version, version);
            }
        }
    }
}

#[test]
fn every_group_and_curve_connects() {
    for client in [true, false] {
        for versions in [Versions::Only12, Versions::Only13] {
            for group in [Group::X25519, Group::Secp256r1, Group::Secp384r1] {
                let mut ours = config(client, versions);
                ours.groups = vec![group];
                ours.certificate = certificates(KeyAlgorithm::EcdsaP384)[0].clone();
                let own = run(Case { ours, theirs: versions, client, loss: 0, seed: 1 });
                assert_eq!(own.negotiated().unwrap().group, group);
            }
        }
    }
}

#[test]
fn handshakes_survive_loss() {
    for seed in 0..60 {
        for client in [true, false] {
            let versions = [Versions::Only12, Versions::Only13][seed as usize / 2 % 2];
            run(Case { ours: config(client, versions), theirs: versions, client, loss: 15, seed });
        }
    }
}
