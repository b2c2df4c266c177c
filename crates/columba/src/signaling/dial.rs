//! A TCP connection to a server whose name has several addresses (RFC 8305): the first may lead
//! nowhere, as an IPv6 does that a network announces and does not carry.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::sleep;

/// The time after which the next address is tried beside one that does not answer (RFC 8305 §8).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Addresses that are tried, at most.
const MAX_ADDRESSES: usize = 16;

/// The first connection that comes about.
pub(super) async fn dial(host: &str, port: u16) -> io::Result<TcpStream> {
    let found = lookup_host((host, port)).await?.take(MAX_ADDRESSES).collect();
    race(in_turn(found), TcpStream::connect).await
}

/// The families in turn, in the system's order of preference otherwise (RFC 8305 §4).
fn in_turn(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = addresses.first().map(SocketAddr::is_ipv6) else { return addresses };
    let (preferred, other): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first);
    let (mut preferred, mut other) = (VecDeque::from(preferred), VecDeque::from(other));
    let mut ordered = Vec::new();
    while !preferred.is_empty() || !other.is_empty() {
        ordered.extend(preferred.pop_front());
        ordered.extend(other.pop_front());
    }
    ordered
}

/// Tries one address after the other, each as soon as the one before has failed or has taken long;
/// the others end with the first that succeeds.
async fn race<S, F: Future<Output = io::Result<S>>>(
    addresses: Vec<SocketAddr>,
    connect: impl Fn(SocketAddr) -> F,
) -> io::Result<S> {
    let mut waiting = addresses.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
    loop {
        match waiting.next() {
            Some(address) => attempts.push(connect(address)),
            None if attempts.is_empty() => return Err(failure),
            None => {}
        }
        tokio::select! {
            Some(result) = attempts.next() => match result {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = error,
            },
            () = sleep(ATTEMPT_DELAY), if waiting.len() > 0 => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::Instant;

    use super::*;

    const IPV6: &str = "[2001:db8::1]:443";
    const OTHER_IPV6: &str = "[2001:db8::2]:443";
    const IPV4: &str = "203.0.113.1:443";

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// Connects in a network where IPv6 is lost, or refused; answers with whom, and when.
    async fn connect(texts: &[&str], refused: bool) -> (io::Result<SocketAddr>, Duration) {
        let start = Instant::now();
        let attempt = |address: SocketAddr| async move {
            match address {
                SocketAddr::V6(_) if refused => Err(io::ErrorKind::ConnectionRefused.into()),
                SocketAddr::V6(_) => pending().await,
                SocketAddr::V4(_) => {
                    sleep(Duration::from_millis(20)).await;
                    Ok(address)
                }
            }
        };
        let result = race(in_turn(addresses(texts)), attempt).await;
        (result, start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn dead_address_costs_a_quarter_of_a_second() {
        let (result, took) = connect(&[IPV6, OTHER_IPV6, IPV4], false).await;
        assert_eq!(result.unwrap(), addresses(&[IPV4])[0]);
        assert_eq!(took.as_millis(), 270);
    }

    #[tokio::test(start_paused = true)]
    async fn refusing_address_costs_no_time() {
        let (result, took) = connect(&[IPV6, IPV4], true).await;
        assert_eq!(result.unwrap(), addresses(&[IPV4])[0]);
        assert_eq!(took.as_millis(), 20);
        let (result, _) = connect(&[IPV6, OTHER_IPV6], true).await;
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        let (result, _) = connect(&[], true).await;
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn the_families_take_turns() {
        assert_eq!(in_turn(addresses(&[IPV6, OTHER_IPV6, IPV4])), addresses(&[IPV6, IPV4, OTHER_IPV6]));
        assert_eq!(in_turn(addresses(&[IPV4, IPV6, OTHER_IPV6])), addresses(&[IPV4, IPV6, OTHER_IPV6]));
    }
}
