//! The machine's own sockets: none is reached by a relay, whatever its address is, also one that
//! comes while the server runs. In a network namespace of the test's own.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::time::Duration;

use columba_stun::AddressFamily;
use columba_stun::attributes::RequestedAddressFamily;
use columba_turn::server::DropReason;

use super::client::Client;
use super::{Running, TurnConfig, config, eventually, start_at};

/// Set for the process that runs inside.
const INSIDE: &str = "COLUMBA_TEST_NAMESPACE";

/// The port of another service on the same machine.
const SERVICE: u16 = 9999;

/// Runs the named test again in a network namespace; true if this is the process inside. Where
/// namespaces cannot be made the test is skipped, and says so.
fn is_inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let can = Command::new("unshare").args(["--net", "true"]).status();
    if !can.is_ok_and(|status| status.success()) {
        eprintln!("skipped: network namespaces need root on Linux, and unshare(1)");
        return false;
    }
    let program = std::env::current_exe().unwrap();
    let name = format!("{}::{test}", module_path!().split_once("::").unwrap().1);
    let output = Command::new("unshare")
        .arg("--net")
        .arg(program)
        .args(["--exact", &name, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    false
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}

/// A machine with an address of each family on an interface that leads to nothing.
fn set_up() {
    for arguments in [
        "link set lo up",
        "link add test0 type veth peer name test1",
        "link set test1 up",
        "addr add 203.0.114.5/24 dev test0",
        "-6 addr add 2a0f:1:2:3::5/64 dev test0 nodad",
        "link set test0 up",
        "route add default dev test0",
        "-6 route add default dev test0",
    ] {
        ip(arguments);
    }
}

fn service() -> [UdpSocket; 2] {
    let v4 = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, SERVICE)).unwrap();
    let v6 = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::DGRAM, None).unwrap();
    v6.set_only_v6(true).unwrap();
    v6.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, SERVICE)).into()).unwrap();
    [v4, v6.into()]
}

/// Returns whether something has come to a socket of this machine.
fn is_hit(service: &[UdpSocket; 2]) -> bool {
    service.iter().any(|socket| {
        socket.set_nonblocking(true).unwrap();
        socket.recv(&mut [0; 100]).is_ok()
    })
}

fn dropped(running: &Running) -> u64 {
    running.service.stats().server.dropped(DropReason::OwnAddress)
}

/// Waits until data for this peer is dropped because it is this machine's.
async fn is_closed(running: &Running, client: &mut Client, peer: SocketAddr) {
    let before = dropped(running);
    let deadline = tokio::time::Instant::now() + super::PATIENCE;
    while dropped(running) == before {
        assert!(tokio::time::Instant::now() < deadline, "{peer} stays open");
        client.send_indication(peer, b"is anyone there?").await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn open_config() -> TurnConfig {
    let mut config = config();
    config.server.allow_peers = vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()];
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_socket_of_the_machine_is_reached_by_an_address_that_comes_later() {
    if !is_inside("no_socket_of_the_machine_is_reached_by_an_address_that_comes_later") {
        return;
    }
    set_up();
    let running = start_at("[::]:0", open_config());
    let udp = SocketAddr::from((Ipv4Addr::LOCALHOST, running.udp.port()));
    let (mut v4, mut v6) = (Client::udp(udp).await, Client::udp(udp).await);
    assert_eq!(v4.allocate().await.unwrap().ip(), Ipv4Addr::new(203, 0, 114, 5));
    let family = RequestedAddressFamily::IPV6;
    let relayed = v6.allocate_with(|builder| builder.push(&family).map(drop)).await.unwrap();
    assert_eq!(AddressFamily::of(relayed.ip()), AddressFamily::Ipv6);
    let service = service();
    let addr = |text: &str| SocketAddr::new(text.parse().unwrap(), SERVICE);

    // What is known from the start: broadcast addresses, and a port that nothing may lead to.
    for known in ["203.0.114.255", "203.0.114.5"] {
        let _refused_or_not = v4.permit(addr(known)).await;
        assert_eq!(v4.bind_channel(0x4000, addr(known)).await, Err(403), "{known}");
    }
    let hairpin = SocketAddr::new("198.51.101.7".parse().unwrap(), running.udp.port());
    v4.permit(hairpin).await.unwrap();
    assert_eq!(v4.bind_channel(0x4000, hairpin).await, Err(403), "where the server listens itself");

    // What comes later, with a permission from before.
    for (later, change) in [
        ("203.0.114.77", "addr add 203.0.114.77/24 dev test0"),
        ("203.0.115.9", "route add local 203.0.115.0/24 dev lo"),
    ] {
        v4.permit(addr(later)).await.unwrap();
        ip(change);
        is_closed(&running, &mut v4, addr(later)).await;
    }
    let anycast = addr("2a0f:1:2:3::");
    v6.permit(anycast).await.unwrap();
    std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
    is_closed(&running, &mut v6, anycast).await;
    let _until_then = is_hit(&service);
    while is_hit(&service) {}

    for (client, addresses) in [
        (&mut v4, &["203.0.114.5", "203.0.114.255", "203.0.114.77", "203.0.115.9", "203.0.115.200"][..]),
        (&mut v6, &["2a0f:1:2:3::5", "2a0f:1:2:3::"]),
    ] {
        for address in addresses {
            let _refused_or_not = client.permit(addr(address)).await;
            client.send_indication(addr(address), b"is anyone there?").await;
            assert_eq!(client.bind_channel(0x4001, addr(address)).await, Err(403), "{address}");
        }
    }
    // Requests are answered after the data before them has been dealt with.
    assert!(!is_hit(&service));
    assert_eq!(running.service.stats().server.datagrams_in_process, 0);

    // What goes again is open again.
    ip("route del local 203.0.115.0/24 dev lo");
    let peers = || running.service.stats().server.datagrams_to_peers;
    let before = peers();
    v4.permit(addr("203.0.115.9")).await.ok();
    let deadline = tokio::time::Instant::now() + super::PATIENCE;
    while peers() == before {
        assert!(tokio::time::Instant::now() < deadline, "it stays closed");
        v4.permit(addr("203.0.115.9")).await.ok();
        v4.send_indication(addr("203.0.115.9"), b"x").await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_port_of_the_machine_is_reached() {
    if !is_inside("an_open_port_of_the_machine_is_reached") {
        return;
    }
    set_up();
    let mut config = open_config();
    config.server.own_ports = vec![SERVICE];
    let running = start_at("[::]:0", config);
    let service = service();
    let mut client = Client::udp(SocketAddr::from((Ipv4Addr::LOCALHOST, running.udp.port()))).await;
    client.allocate().await.unwrap();
    let peer = SocketAddr::new("203.0.114.5".parse().unwrap(), SERVICE);
    client.permit(peer).await.unwrap();
    client.send_indication(peer, b"media").await;
    eventually("it arrives", || is_hit(&service)).await;
    let other = SocketAddr::new(peer.ip(), running.udp.port());
    assert_eq!(client.bind_channel(0x4000, other).await, Err(403));
}
