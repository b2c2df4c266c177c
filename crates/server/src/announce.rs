//! The announcement when the program is ready: addresses, and warnings.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};

use columba_turn::server::Transport;
use tracing::{info, warn};

use crate::config::{Host, LogFormat, ServeOptions, is_public};
use crate::signal::Endpoint;
use crate::tls::Tls;

/// The contents of the announcement.
#[derive(Debug)]
pub(crate) struct Announcement<'a> {
    pub(crate) options: &'a ServeOptions,
    pub(crate) web: &'a [SocketAddr],
    pub(crate) endpoints: &'a [Endpoint],
    pub(crate) tls: Option<&'a Tls>,
    pub(crate) warnings: Vec<String>,
}

impl Announcement<'_> {
    /// Prints it for people on standard output, and logs it for machines.
    pub(crate) fn make(self) {
        let interfaces: Vec<IpAddr> =
            if_addrs::get_if_addrs().unwrap_or_default().iter().map(if_addrs::Interface::ip).collect();
        let urls = self.urls(&interfaces);
        let mut warnings = self.warnings.clone();
        warnings.extend(self.foreseeable_trouble(&interfaces));
        let fingerprint = self.tls.and_then(Tls::fingerprint);
        if self.options.log.log_format == LogFormat::Json {
            for url in urls {
                info!(url, "open");
            }
            if let Some(fingerprint) = fingerprint {
                info!(fingerprint, "the certificate is self-signed");
            }
            info!(services = self.services(), "ready");
            warnings.iter().for_each(|warning| warn!("{warning}"));
        } else {
            // Standard output may be closed; that is no reason not to serve.
            let _ = std::io::stdout().write_all(self.text(&urls, fingerprint, &warnings).as_bytes());
        }
    }

    fn text(&self, urls: &[String], fingerprint: Option<&str>, warnings: &[String]) -> String {
        let mut text = format!("Columba {} is ready. Open\n\n", env!("CARGO_PKG_VERSION"));
        for url in urls {
            let _ = writeln!(text, "  {url}");
        }
        let _ = writeln!(text, "\nSTUN and TURN: {}", self.services());
        if let Some(fingerprint) = fingerprint {
            let _ = writeln!(
                text,
                "The certificate is self-signed: browsers ask once, and show this SHA-256 fingerprint:\n  {fingerprint}"
            );
        }
        for warning in warnings {
            let _ = writeln!(text, "Warning: {warning}");
        }
        text
    }

    fn urls(&self, interfaces: &[IpAddr]) -> Vec<String> {
        let (scheme, own_port) = if self.tls.is_some() { ("https", 443) } else { ("http", 80) };
        let url = |host: &str, port: u16| {
            let port = if port == own_port { String::new() } else { format!(":{port}") };
            format!("{scheme}://{host}{port}/")
        };
        let mut urls = Vec::new();
        for address in self.web {
            let (ip, port) = (address.ip().to_canonical(), address.port());
            if ip.is_unspecified() || ip == IpAddr::from([127, 0, 0, 1]) {
                urls.push(url("localhost", port));
            } else {
                urls.push(url(Host::from_ip(ip).for_url(), port));
            }
            if let Some(host) = &self.options.relay.public_host {
                urls.push(url(host.for_url(), port));
            }
            if ip.is_unspecified() {
                let others =
                    interfaces.iter().filter(|other| !other.is_loopback() && !is_link_local(**other));
                let others = others.filter(|other| address.is_ipv6() || other.is_ipv4());
                urls.extend(others.map(|other| url(Host::from_ip(*other).for_url(), port)));
            }
        }
        let mut seen = std::collections::BTreeSet::new();
        urls.retain(|url| seen.insert(url.clone()));
        urls
    }

    fn services(&self) -> String {
        let mut words: Vec<String> = self
            .endpoints
            .iter()
            .map(|endpoint| {
                let transport = match endpoint.transport {
                    Transport::Udp => "UDP",
                    Transport::Tcp => "TCP",
                    Transport::Tls => "TLS",
                };
                format!("{transport} {}", endpoint.address.port())
            })
            .collect();
        words.dedup();
        if words.is_empty() { "off".to_owned() } else { words.join(", ") }
    }

    fn foreseeable_trouble(&self, interfaces: &[IpAddr]) -> Vec<String> {
        let mut warnings = Vec::new();
        let beyond_here = |address: &SocketAddr| !address.ip().to_canonical().is_loopback();
        let proxied = !self.options.web.trust_proxy.is_empty();
        if self.tls.is_none() && !proxied && self.web.iter().any(beyond_here) {
            warnings.push(
                "Without TLS, browsers on other machines give this page no camera or microphone: start with \
                 --tls self-signed, or with --tls-cert and --tls-key."
                    .to_owned(),
            );
        }
        let relays = self.endpoints.iter().any(|endpoint| beyond_here(&endpoint.address));
        let public = interfaces.iter().any(|ip| is_public(*ip));
        if relays && !public && self.options.relay.public_address.is_empty() {
            warnings.push(
                "This machine has only private addresses, so peers outside its network cannot be relayed: forward \
                 the ports and set --public-address."
                    .to_owned(),
            );
        }
        warnings
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn announced(
        arguments: &[&str],
        web: &str,
        interfaces: &[&str],
        check: impl Fn(Vec<String>, Vec<String>),
    ) {
        let arguments: Vec<_> = arguments.iter().map(Into::into).collect();
        let options = Config::load(&arguments, &Default::default()).unwrap().options;
        let udp = Endpoint { transport: Transport::Udp, address: "[::]:3478".parse().unwrap(), web: false };
        let (web, endpoints) = ([web.parse().unwrap()], [udp]);
        let announcement = Announcement {
            options: &options,
            web: &web,
            endpoints: &endpoints,
            tls: None,
            warnings: Vec::new(),
        };
        let interfaces: Vec<IpAddr> = interfaces.iter().map(|ip| ip.parse().unwrap()).collect();
        check(announcement.urls(&interfaces), announcement.foreseeable_trouble(&interfaces));
    }

    #[test]
    fn announcement_has_all_addresses_and_warnings() {
        let all = ["127.0.0.1", "::1", "192.168.1.5", "fe80::1", "fd00::5"];
        announced(&[], "[::]:8080", &all, |urls, trouble| {
            assert_eq!(
                urls,
                ["http://localhost:8080/", "http://192.168.1.5:8080/", "http://[fd00::5]:8080/"]
            );
            assert!(trouble[0].contains("camera") && trouble[1].contains("--public-address"), "{trouble:?}");
            assert_eq!(trouble.len(), 2);
        });
        announced(&["--public-address", "198.51.100.1"], "127.0.0.1:80", &all, |urls, trouble| {
            assert_eq!(urls, ["http://localhost/"]);
            assert_eq!(trouble, [""; 0]);
        });
        announced(
            &["--trust-proxy", "127.0.0.1/32"],
            "0.0.0.0:80",
            &["203.0.114.5", "2a00::1"],
            |urls, trouble| {
                assert_eq!(urls, ["http://localhost/", "http://203.0.114.5/"]);
                assert_eq!(trouble, [""; 0]);
            },
        );
    }
}
