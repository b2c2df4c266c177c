//! Origins of web pages (RFC 6454): as operators write them, and as browsers send them.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Ports that browsers leave out of an origin (RFC 6454 §6.2).
const DEFAULT_PORTS: [(&str, u16); 2] = [("http", 80), ("https", 443)];

/// Schemes of which no page has an origin: what they show has the origin `null`, or that of another
/// page, or they show nothing.
const WITHOUT_ORIGIN: [&str; 7] = ["about", "blob", "data", "javascript", "mailto", "ws", "wss"];

const HOW_TO_WRITE: &str = "write an origin like https://example.org, without a path, or *";

/// The origins that an operator lets in with one value of `--allow-origin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AllowedOrigin {
    /// `*`: every origin, `null` too.
    Any,
    /// This one.
    Exactly(Origin),
    /// `https://*.example.org`: all subdomains of the origin's host, but not the host itself.
    Subdomains(Origin),
}

/// Scheme, host and port of a page (RFC 6454 §4), in the one form in which they are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    scheme: String,
    /// Empty for `file` alone.
    host: String,
    /// `None` for the scheme's own port, or for none.
    port: Option<u16>,
}

impl AllowedOrigin {
    /// Returns whether the value of an `Origin` header is let in.
    pub(crate) fn matches(&self, header: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(allowed) => Origin::parse(header).is_some_and(|origin| origin == *allowed),
            Self::Subdomains(parent) => {
                Origin::parse(header).is_some_and(|origin| origin.is_subdomain_of(parent))
            }
        }
    }
}

impl FromStr for AllowedOrigin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if text.eq_ignore_ascii_case("null") {
            return Err("any site can show a page with the origin null, so to allow it is to allow all: \
                        write *"
                .to_owned());
        }
        if !text.is_ascii() {
            return Err("write the host name as browsers send it, in ASCII (xn--…)".to_owned());
        }
        let (scheme, rest) = text.split_once("://").ok_or(HOW_TO_WRITE)?;
        if WITHOUT_ORIGIN.iter().any(|other| scheme.eq_ignore_ascii_case(other)) {
            return Err(format!("no page has the origin {scheme}://…: {HOW_TO_WRITE}"));
        }
        let rest = rest.trim_end_matches('/');
        let (host, is_pattern) = rest.strip_prefix("*.").map_or((rest, false), |parent| (parent, true));
        if host.contains('*') || (is_pattern && default_port(&scheme.to_ascii_lowercase()).is_none()) {
            return Err("a * stands for all origins, or for the subdomains of a domain, as in \
                        https://*.example.org"
                .to_owned());
        }
        let origin = Origin::parse(&format!("{scheme}://{host}")).ok_or(HOW_TO_WRITE)?;
        if !is_pattern {
            return Ok(Self::Exactly(origin));
        }
        if origin.host.starts_with('[') || origin.host.parse::<Ipv4Addr>().is_ok() {
            return Err("addresses have no subdomains".to_owned());
        }
        Ok(Self::Subdomains(origin))
    }
}

impl Origin {
    /// Reads an origin as RFC 6454 §6.2 writes it.
    fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let (scheme, authority) = text.split_once("://")?;
        let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
        if !is_scheme {
            return None;
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let port = match port {
            None => None,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                Some(digits.parse::<u16>().ok().filter(|port| *port > 0)?)
            }
            Some(_) => return None,
        };
        let host = if host.is_empty() && scheme == "file" && port.is_none() {
            String::new()
        } else if default_port(scheme).is_some() {
            web_host(host)?
        } else {
            opaque_host(host)?
        };
        let port = port.filter(|port| Some(*port) != default_port(scheme));
        Some(Self { scheme: scheme.to_owned(), host, port })
    }

    fn is_subdomain_of(&self, parent: &Self) -> bool {
        let labels = self.host.strip_suffix(&parent.host).and_then(|front| front.strip_suffix('.'));
        self.scheme == parent.scheme
            && self.port == parent.port
            && labels.is_some_and(|labels| !labels.is_empty())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// The port that an origin of this scheme has without naming it.
fn default_port(scheme: &str) -> Option<u16> {
    DEFAULT_PORTS.iter().find(|(name, _)| *name == scheme).map(|(_, port)| *port)
}

/// The host of `http` and `https`: a domain name, or an address in the one form in which browsers
/// write it.
fn web_host(text: &str) -> Option<String> {
    if text.starts_with('[') {
        return ipv6(text);
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if name.len() > 253 || !name.split('.').all(is_label) {
        return None;
    }
    // Browsers take a name whose last label is a number for an IPv4 address, and write it in full.
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|b| b.is_ascii_digit())
        || last.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
    if is_number {
        return text.parse::<Ipv4Addr>().ok().map(|ip| ip.to_string());
    }
    Some(text.to_owned())
}

/// The host of any other scheme: what an application or an extension calls itself.
fn opaque_host(text: &str) -> Option<String> {
    if text.starts_with('[') {
        return ipv6(text);
    }
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    (!text.is_empty() && text.bytes().all(is_plain)).then(|| text.to_owned())
}

fn ipv6(text: &str) -> Option<String> {
    let ip: Ipv6Addr = text.strip_prefix('[')?.strip_suffix(']')?.parse().ok()?;
    Some(format!("[{ip}]"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn allowed(text: &str) -> AllowedOrigin {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn any_scheme_can_be_allowed() {
        for origin in [
            "capacitor://localhost",
            "ionic://localhost",
            "tauri://localhost",
            "chrome-extension://aapbdbdomjkkjkaonfhkkikfgjllcleb",
            "moz-extension://6f9ccb5a-3a5a-4d5c-8d5c-6a0f4a3f7b11",
            "app://columba:1234",
            "file://",
            "http://[2001:db8::1]:8080",
            "http://127.0.0.1:3000",
            "https://example.org.",
        ] {
            assert!(allowed(origin).matches(origin), "{origin}");
            assert!(!allowed(origin).matches("https://example.org"), "{origin}");
        }
        assert_eq!(allowed("HTTPS://Example.org:443/"), allowed("https://example.org"));
        assert!(allowed("https://example.org:443").matches("https://example.org"));
        assert!(allowed("http://[2001:DB8:0::1]").matches("http://[2001:db8::1]"));
        assert!(allowed("*").matches("null") && allowed("*").matches("odd"));
    }

    #[test]
    fn subdomains_can_be_allowed() {
        let pattern = allowed("https://*.Example.org");
        for origin in ["https://a.example.org", "https://a.b.example.org", "https://A.example.org:443"] {
            assert!(pattern.matches(origin), "{origin}");
        }
        for origin in [
            "https://example.org",
            "https://.example.org",
            "https://notexample.org",
            "https://a.example.org.evil.test",
            "https://a.example.org:8443",
            "http://a.example.org",
            "https://a.example.com",
            "null",
        ] {
            assert!(!pattern.matches(origin), "{origin}");
        }
        assert!(allowed("http://*.localhost:8080").matches("http://a.localhost:8080"));
    }

    #[test]
    fn origins_that_cannot_match_are_refused_with_the_reason() {
        for (text, word) in [
            ("example.org", "https://example.org"),
            ("https://a/b", "without a path"),
            ("https://a?b", "without a path"),
            ("https://ada@a", "without a path"),
            ("https://a b", "without a path"),
            ("https://", "without a path"),
            ("https://a:0", "without a path"),
            ("https://a:65536", "without a path"),
            ("https://a:", "without a path"),
            ("https://a..b", "without a path"),
            ("https://127.1", "without a path"),
            ("https://0x7f000001", "without a path"),
            ("http://[::1", "without a path"),
            ("1x://a", "without a path"),
            ("capacitor://", "without a path"),
            ("", "without a path"),
            ("null", "write *"),
            ("https://münchen.de", "xn--"),
            ("wss://example.org", "no page"),
            ("data://x", "no page"),
            ("https://*", "https://*.example.org"),
            ("https://a.*.org", "https://*.example.org"),
            ("https://*.*.org", "https://*.example.org"),
            ("https://a*.org", "https://*.example.org"),
            ("chrome-extension://*", "https://*.example.org"),
            ("chrome-extension://*.a", "https://*.example.org"),
            ("*://example.org", "without a path"),
            ("https://*.192.0.2.1", "no subdomains"),
            ("https://*.[2001:db8::1]", "no subdomains"),
        ] {
            let error = text.parse::<AllowedOrigin>().unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    /// An origin: as a browser sends it, and in one of the ways in which an operator may write it.
    fn origin() -> impl Strategy<Value = (String, String)> {
        let scheme = prop_oneof![
            3 => prop::sample::select(vec!["http", "https"]).prop_map(str::to_owned),
            1 => "[a-z][a-z0-9+.-]{0,8}".prop_filter("no origin", |scheme| {
                !WITHOUT_ORIGIN.contains(&scheme.as_str()) && scheme != "file"
            }),
        ];
        let host = prop_oneof![
            3 => "[a-z0-9-]{0,5}[a-z](\\.[a-z]{1,3}){0,3}",
            1 => any::<[u8; 4]>().prop_map(|ip| Ipv4Addr::from(ip).to_string()),
            1 => any::<[u16; 8]>().prop_map(|ip| format!("[{}]", Ipv6Addr::from(ip))),
        ];
        let port = prop_oneof![Just(None), (1..=u16::MAX).prop_map(Some), Just(Some(80)), Just(Some(443))];
        (scheme, host, port, any::<[bool; 3]>()).prop_map(|(scheme, host, port, [upper, full, slash])| {
            let own = default_port(&scheme);
            let port = port.filter(|port| Some(*port) != own);
            let write = |port: Option<u16>| {
                let port = port.map(|port| format!(":{port}")).unwrap_or_default();
                format!("{scheme}://{host}{port}")
            };
            let mut written = write(if full { port.or(own) } else { port });
            if upper {
                written.make_ascii_uppercase();
            }
            written.push_str(if slash { "/" } else { "" });
            (write(port), written)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1024) })]

        #[test]
        fn every_sent_origin_can_be_allowed_and_matches_itself_alone(
            (sent, written) in origin(), (other, _) in origin(),
        ) {
            let entry = allowed(&written);
            prop_assert!(entry.matches(&sent), "{written} does not match {sent}");
            prop_assert_eq!(entry.matches(&other), sent == other);
        }

        #[test]
        fn every_pattern_matches_subdomains_alone((sent, _) in origin(), label in "[a-z]{1,5}") {
            let (scheme, rest) = sent.split_once("://").unwrap();
            let Ok(pattern) = format!("{scheme}://*.{rest}").parse::<AllowedOrigin>() else {
                let is_name = default_port(scheme).is_some()
                    && !rest.starts_with('[')
                    && rest.split(':').next().unwrap().parse::<Ipv4Addr>().is_err();
                prop_assert!(!is_name, "{sent} has subdomains");
                return Ok(());
            };
            let subdomain = format!("{scheme}://{label}.{rest}");
            let sibling = format!("{scheme}://{label}{rest}");
            prop_assert!(pattern.matches(&subdomain));
            prop_assert!(!pattern.matches(&sent));
            prop_assert!(!pattern.matches(&sibling));
        }

        /// Whatever is accepted, there is a header that it lets in.
        #[test]
        fn nothing_is_accepted_that_cannot_match(
            text in prop_oneof![
                "[a-z*:/.@\\[\\]0-9A-Z ü-]{0,20}",
                "(https?|app|ws|file)://[*a-z0-9.:/?#\\[\\]_~-]{0,12}",
            ],
        ) {
            let Ok(entry) = text.parse::<AllowedOrigin>() else { return Ok(()) };
            let header = match &entry {
                AllowedOrigin::Any => "https://example.org".to_owned(),
                AllowedOrigin::Exactly(origin) => origin.to_string(),
                AllowedOrigin::Subdomains(parent) => parent.to_string().replacen("://", "://a.", 1),
            };
            prop_assert!(entry.matches(&header), "{text} accepts no {header}");
            let is_sent = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-._~:/[]".contains(&b);
            prop_assert!(header.bytes().all(is_sent), "no browser sends {header}");
        }
    }
}
