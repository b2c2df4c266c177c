//! The server through which both sides find each other: named, on this machine, or opened by the
//! sender itself.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::end::Stop;
use super::link::Place;
use super::nearby::{self, Announcement};
use crate::config::Config;

/// The port of a server that was started without options.
const USUAL_PORT: u16 = 8080;

/// The time in which a server on this machine answers.
const PROBE: Duration = Duration::from_secs(1);

/// The time in which a sender in the local network answers.
const NEARBY: Duration = Duration::from_millis(2500);

/// The same where a server runs on this machine, which is likelier.
const NEARBY_TOO: Duration = Duration::from_millis(600);

/// The time in which the own server is open.
const OPENING: Duration = Duration::from_secs(10);

/// The named server, or else the one on this machine, if there is one.
pub(crate) async fn find(named: Option<&str>, key: Option<&str>) -> Result<Option<Place>, Stop> {
    if let Some(named) = named.filter(|named| !named.is_empty()) {
        return Place::parse(named, key).map(Some);
    }
    if !is_columba(SocketAddr::from(([127, 0, 0, 1], USUAL_PORT))).await {
        return Ok(None);
    }
    // A name that other machines can use, if the server listens there.
    for ip in local_addresses() {
        if is_columba(SocketAddr::new(ip, USUAL_PORT)).await {
            return Place::parse(&url(SocketAddr::new(ip, USUAL_PORT)), key).map(Some);
        }
    }
    Place::parse(&format!("http://localhost:{USUAL_PORT}/"), key).map(Some)
}

/// The places where the sender with this number may be, if no server is named: in the local
/// network, and at the server on this machine.
pub(crate) async fn find_sender(number: u16, key: Option<&str>) -> Result<Vec<Place>, Stop> {
    let own = find(None, key).await?;
    let patience = if own.is_some() { NEARBY_TOO } else { NEARBY };
    let mut places = Vec::new();
    for addresses in nearby::find(number, patience).await {
        for address in addresses {
            if is_columba(address).await {
                places.push(Place::parse(&url(address), key)?);
                break;
            }
        }
    }
    places.extend(own.filter(|own| places.iter().all(|place| place.page != own.page)));
    Ok(places)
}

/// Announces the sender with this number in the local network, if its server is on this machine.
pub(crate) fn announce(place: &Place, number: u16) -> Option<Announcement> {
    let host = place.page.strip_prefix("http://")?.split('/').next()?;
    let address: SocketAddr = host.parse().ok()?;
    let addresses = local_addresses();
    addresses.contains(&address.ip()).then(|| nearby::announce(number, address.port(), addresses))
}

/// Opens a server in this program, for the local network; it ends with the program.
pub(crate) async fn open_own() -> Result<Place, Stop> {
    let arguments: Vec<OsString> = ["--listen", "[::]:0", "--stun-listen", "[::]:0", "--log-level", "error"]
        .iter()
        .map(OsString::from)
        .collect();
    let config = Config::load(&arguments, &BTreeMap::new()).map_err(|error| {
        Stop::refused(format!("No server can be opened here: {}.", error.to_string().trim()))
    })?;
    let (ready, opened) = oneshot::channel();
    let serving = tokio::spawn(crate::serve::serve(config, Some(ready)));
    let Ok(Ok(addresses)) = timeout(OPENING, opened).await else {
        let reason = match serving.await {
            Ok(Err(failure)) => failure.to_string(),
            _ => "It did not answer.".to_owned(),
        };
        return Err(Stop::refused(format!("No server can be opened here: {reason}")));
    };
    let port = addresses.first().map_or(0, SocketAddr::port);
    let ip = local_addresses().into_iter().next().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    Place::parse(&url(SocketAddr::new(ip, port)), None)
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}/")
}

/// The addresses of this machine that others in the local network can reach, IPv4 first.
fn local_addresses() -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let mut addresses: Vec<IpAddr> = interfaces
        .iter()
        .map(if_addrs::Interface::ip)
        .filter(|ip| match ip {
            IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
            IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
        })
        .collect();
    addresses.sort_by_key(IpAddr::is_ipv6);
    addresses
}

/// Returns whether a columba server answers there.
async fn is_columba(address: SocketAddr) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        let request =
            format!("GET /columba/index.js HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        stream.take(16 * 1024).read_to_end(&mut answer).await.ok()?;
        let answer = String::from_utf8_lossy(&answer);
        (answer.starts_with("HTTP/1.1 200") && answer.contains("SignalingChannel")).then_some(())
    };
    matches!(timeout(PROBE, ask).await, Ok(Some(())))
}
