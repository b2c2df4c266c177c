//! The options of STUN and TURN as the service takes them: sockets, policy, limits, secrets.

use std::fs;
use std::net::{IpAddr, SocketAddr};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use columba_turn::server::{self, Admission, Doubt, Rate, Transport};
use ipnet::IpNet;

use super::config::TurnConfig;
use super::listener::{BindError, Bound};
use crate::config::{Config, Listen, RelayOptions, Secret, Switch};
use crate::failure::Failure;
use crate::http::{bind_sentence, no_such_family};

/// Returns whether STUN and TURN are wanted at all.
pub(crate) fn is_wanted(options: &RelayOptions) -> bool {
    options.stun_listen.iter().chain(&options.turns_listen).any(|listen| *listen != Listen::Off)
}

/// Binds what is asked for. A port that is only a default may be taken: then there is a warning,
/// and the server goes on without it.
pub(crate) fn bind(config: &Config, tls: bool, warnings: &mut Vec<String>) -> Result<Vec<Bound>, Failure> {
    let relay = &config.options.relay;
    let mut wanted = Vec::new();
    for address in on(&relay.stun_listen) {
        wanted.push(("stun-listen", address, Transport::Udp));
        wanted.push(("stun-listen", address, Transport::Tcp));
    }
    for address in on(&relay.turns_listen) {
        if !tls {
            return Err(Failure::new(
                "--turns-listen needs a certificate: give one with --tls-cert and --tls-key, or --tls self-signed.",
            ));
        }
        wanted.push(("turns-listen", address, Transport::Tls));
    }
    let mut bound = Vec::new();
    for (option, address, transport) in wanted {
        match bind_one(address, transport) {
            Ok(socket) => bound.push(socket),
            Err(BindError { error, .. }) => {
                let kind = if transport == Transport::Udp { "UDP" } else { "TCP" };
                let sentence = bind_sentence(option, kind, address, &error);
                if config.is_set(option) {
                    return Err(Failure::new(sentence));
                }
                warnings.push(format!("STUN and TURN go on without it: {sentence}"));
            }
        }
    }
    Ok(bound)
}

fn on(listen: &[Listen]) -> impl Iterator<Item = SocketAddr> + '_ {
    listen.iter().filter_map(|listen| match listen {
        Listen::On(address) => Some(*address),
        Listen::Off => None,
    })
}

fn bind_one(address: SocketAddr, transport: Transport) -> Result<Bound, BindError> {
    match (Bound::new(address, transport), Listen::ipv4_instead(address)) {
        (Err(failed), Some(ipv4)) if no_such_family(&failed.error) => Bound::new(ipv4, transport),
        (result, _) => result,
    }
}

/// The service's configuration. `web` are the program's other listeners, which no peer may reach
/// through it.
///
/// `admission` says who may have an allocation.
pub(crate) fn turn_config(
    options: &RelayOptions,
    web: &[SocketAddr],
    secrets: &[Secret],
    admission: Admission,
) -> TurnConfig {
    let server = server::Config {
        realm: options.realm.clone(),
        secrets: bytes(secrets),
        admission,
        allow_peers: options.allow_peer.clone(),
        deny_peers: options.deny_peer.clone(),
        own_ports: options.allow_own_port.clone(),
        unauthenticated: server::AnswerLimit {
            bytes_per_second: options.answers_per_network.bytes_per_second(),
            // Two seconds of it, as by default.
            burst: options.answers_per_network.bytes_per_second().unwrap_or_default().saturating_mul(2),
            total_bytes_per_second: options.answers_total.bytes_per_second(),
            ..server::AnswerLimit::default()
        },
        listeners: web.to_vec(),
        mobility: options.turn_mobility == Switch::On,
        max_allocations: options.max_allocations as usize,
        max_allocations_per_credential: options.allocations_per_user,
        max_allocations_per_address: options.allocations_per_client,
        bandwidth_per_credential: Rate::per_second(options.bandwidth_per_user.0),
        bandwidth_per_address: Rate::per_second(options.bandwidth_per_client.0),
        bandwidth_total: Rate::per_second(options.max_bandwidth.0),
        ..server::Config::default()
    };
    TurnConfig {
        server,
        public_addresses: options.public_address.clone(),
        relay_ports: options.relay_ports.0.clone(),
        ..TurnConfig::default()
    }
}

/// The warning about an entry of `--allow-peer`.
fn sentence(net: IpNet, doubt: Doubt) -> String {
    match doubt {
        Doubt::Nowhere => format!(
            "--allow-peer {net} opens nothing: unspecified, multicast, broadcast and link-local IPv6 addresses are \
             no peers."
        ),
        Doubt::Denied(denied) => {
            format!("--allow-peer {net} opens nothing: --deny-peer {denied} covers it and is stronger.")
        }
        Doubt::Metadata(ip) => format!(
            "--allow-peer {net} does not open {ip}, where clouds keep a machine's secrets: only --allow-peer {ip} \
             does."
        ),
        Doubt::Loopback => format!(
            "--allow-peer {net} lets every client reach all programs that listen at loopback addresses of this \
             machine, except this one."
        ),
    }
}

/// One sentence for each thing that the options allow and that stays closed nevertheless. `own` are
/// this machine's addresses, `listeners` the addresses that the program listens on.
pub(crate) fn unserved_peers(
    options: &RelayOptions,
    own: &[IpAddr],
    listeners: &[SocketAddr],
) -> Vec<String> {
    let asked = server::Config {
        allow_peers: options.allow_peer.clone(),
        deny_peers: options.deny_peer.clone(),
        ..server::Config::default()
    };
    let doubts = asked.doubtful_peers();
    let mut sentences: Vec<_> = doubts.into_iter().map(|(net, doubt)| sentence(net, doubt)).collect();
    if options.allow_own_port.is_empty() {
        for net in &options.allow_peer {
            if let Some(ip) = own.iter().find(|ip| net.contains(*ip)) {
                sentences.push(format!(
                    "--allow-peer {net} does not open {ip}, which is this machine's own: name the ports that peers \
                     may reach here with --allow-own-port."
                ));
            }
        }
    }
    for port in &options.allow_own_port {
        if listeners.iter().any(|listener| listener.port() == *port) {
            sentences.push(format!(
                "--allow-own-port {port} opens nothing: this program itself listens on that port."
            ));
        }
    }
    sentences
}

/// Secrets as the relay wants them.
pub(crate) fn bytes(secrets: &[Secret]) -> Vec<Vec<u8>> {
    secrets.iter().map(|secret| secret.expose().as_bytes().to_vec()).collect()
}

/// The secrets behind TURN passwords: those of the options, then those of the file; a random one if
/// there are none.
pub(crate) fn secrets(options: &RelayOptions) -> Result<Vec<Secret>, Failure> {
    let mut secrets = options.turn_secret.clone();
    if let Some(path) = &options.turn_secret_file {
        let shown = path.display();
        let text = fs::read_to_string(path).map_err(|error| {
            Failure::new(format!(
                "The file of TURN secrets {shown} cannot be read ({error}): check --turn-secret-file."
            ))
        })?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let before = secrets.len();
        secrets.extend(lines.map(|line| Secret::new(line.to_owned())));
        if secrets.len() == before {
            return Err(Failure::new(format!(
                "The file of TURN secrets {shown} is empty: write one secret a line."
            )));
        }
    }
    if secrets.len() > server::Config::MAX_SECRETS {
        return Err(Failure::new(format!(
            "There are {} TURN secrets, of which only the first {} would be used: remove those whose credentials \
             have expired from --turn-secret and --turn-secret-file.",
            secrets.len(),
            server::Config::MAX_SECRETS
        )));
    }
    if secrets.is_empty() {
        let mut random = [0; 32];
        getrandom::fill(&mut random)
            .map_err(|error| Failure::new(format!("The system gives no random numbers ({error}).")))?;
        secrets.push(Secret::new(URL_SAFE_NO_PAD.encode(random)));
    }
    Ok(secrets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(arguments: &[&str]) -> Config {
        let arguments: Vec<_> = arguments.iter().map(Into::into).collect();
        Config::load(&arguments, &Default::default()).unwrap()
    }

    #[test]
    fn taken_default_port_is_a_warning() {
        let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let mut by_default = config(&[]);
        by_default.options.relay.stun_listen = vec![Listen::On(address)];
        let mut warnings = Vec::new();
        let bound = bind(&by_default, false, &mut warnings).unwrap();
        assert!(bound.iter().all(|bound| bound.listening().transport == Transport::Tcp));
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains(&format!("UDP port {} is taken", address.port())), "{warnings:?}");

        let asked_for = config(&["--stun-listen", &address.to_string()]);
        let failure = bind(&asked_for, false, &mut Vec::new()).unwrap_err();
        assert!(failure.to_string().contains("--stun-listen"), "{failure}");
    }

    #[test]
    fn what_is_allowed_and_stays_closed_is_said() {
        let said = |arguments: &[&str]| {
            let own = ["192.0.2.2".parse().unwrap(), "2001:db8::5".parse().unwrap()];
            unserved_peers(&config(arguments).options.relay, &own, &["[::]:3478".parse().unwrap()])
        };
        assert_eq!(said(&["--allow-peer", "10.0.0.0/8"]), [""; 0]);
        let sentences = said(&["--allow-peer", "192.0.2.0/24", "--allow-peer", "2001:db8::5/128"]);
        assert!(sentences[0].contains("192.0.2.2") && sentences[1].contains("2001:db8::5"), "{sentences:?}");
        assert_eq!(said(&["--allow-peer", "192.0.2.0/24", "--allow-own-port", "7882"]), [""; 0]);
        assert!(said(&["--allow-own-port", "3478"])[0].contains("3478"));
        let first = |arguments: &[&str]| said(arguments).swap_remove(0);
        assert!(first(&["--allow-peer", "224.0.0.0/4"]).contains("opens nothing"));
        assert!(first(&["--allow-peer", "127.0.0.0/8"]).contains("loopback"));
        assert!(first(&["--allow-peer", "169.254.0.0/16"]).contains("169.254.169.254"));
        assert!(first(&["--allow-peer", "10.1.0.0/16", "--deny-peer", "10.0.0.0/8"]).contains("--deny-peer"));
    }

    #[test]
    fn limits_on_answers_can_be_set_and_lifted() {
        let limits = |arguments: &[&str]| {
            let options = &config(arguments).options.relay;
            turn_config(options, &[], &[], Admission::default()).server.unauthenticated
        };
        let defaults = server::AnswerLimit::default();
        assert_eq!(limits(&[]), defaults, "the options have the machine's defaults");
        let set = limits(&["--answers-per-network", "1MB", "--answers-total", "unlimited"]);
        assert_eq!((set.bytes_per_second, set.burst), (Some(1_000_000), 2_000_000));
        assert_eq!(set.total_bytes_per_second, None);
    }

    #[test]
    fn mobility_is_an_option() {
        let mobility = |arguments: &[&str]| {
            let options = config(arguments).options.relay;
            turn_config(&options, &[], &[], Admission::default()).server.mobility
        };
        assert!(mobility(&[]));
        assert!(!mobility(&["--turn-mobility", "off"]));
    }

    #[test]
    fn secrets_come_from_options_and_file_or_are_made() {
        let text = |secrets: &[Secret]| secrets.iter().map(|s| s.expose().to_owned()).collect::<Vec<_>>();
        let path = std::env::temp_dir().join(format!("columba-secrets-{}", std::process::id()));
        let read = |content: &str| {
            fs::write(&path, content).unwrap();
            secrets(
                &config(&["--turn-secret", "a", "--turn-secret-file", path.to_str().unwrap()]).options.relay,
            )
        };
        assert_eq!(text(&read("b\n\n c \n").unwrap()), ["a", "b", "c"]);
        assert!(read("\n").unwrap_err().to_string().contains("empty"));
        assert_eq!(text(&read("b\nc\nd\ne\nf\ng\nh").unwrap()).len(), 8);
        assert!(read("b\nc\nd\ne\nf\ng\nh\ni").unwrap_err().to_string().contains("9 TURN secrets"));
        fs::remove_file(&path).unwrap();
        let missing = config(&["--turn-secret-file", path.to_str().unwrap()]);
        assert!(secrets(&missing.options.relay).unwrap_err().to_string().contains("--turn-secret-file"));
        let made = || text(&secrets(&config(&[]).options.relay).unwrap());
        assert_eq!(made()[0].len(), 43);
        assert_ne!(made(), made());
    }
}
