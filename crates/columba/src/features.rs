//! Configurations that need a Cargo feature which is not built in.

use columba_peer::Configuration;

use crate::error::Error;

/// Refuses a configuration that this build cannot fulfil, so that it does not fail later and
/// unnoticed.
///
/// # Errors
/// [`Error::MissingFeature`].
pub(crate) fn check(configuration: &Configuration) -> Result<(), Error> {
    let missing = |feature, needed_for| Err(Error::MissingFeature { feature, needed_for });
    if cfg!(not(feature = "mdns")) && configuration.ice.mdns == columba_ice::MdnsMode::QueryAndGather {
        return missing("mdns", "hiding addresses behind mDNS names");
    }
    let urls = configuration.ice_servers.iter().flat_map(|server| &server.urls);
    if cfg!(not(feature = "tls")) && urls.into_iter().any(|url| is_over_tls(url)) {
        return missing("tls", "an ICE server over TLS");
    }
    Ok(())
}

fn is_over_tls(url: &str) -> bool {
    let scheme = url.split(':').next().unwrap_or_default();
    ["turns", "stuns"].iter().any(|secure| scheme.eq_ignore_ascii_case(secure))
}

#[cfg(test)]
mod tests {
    use columba_peer::IceServer;

    use super::*;

    #[test]
    fn configuration_is_refused_without_the_feature_that_it_needs() {
        let mut configuration = Configuration::default();
        assert_eq!(check(&configuration), Ok(()));
        configuration.ice.mdns = columba_ice::MdnsMode::QueryAndGather;
        assert_eq!(check(&configuration).is_ok(), cfg!(feature = "mdns"));
        configuration.ice.mdns = columba_ice::MdnsMode::Query;
        let urls = vec!["stun:example.org".to_owned(), "turn:example.org".to_owned()];
        configuration.ice_servers = vec![IceServer { urls, ..IceServer::default() }];
        assert_eq!(check(&configuration), Ok(()));
        configuration.ice_servers[0].urls.push("TURNS:example.org".to_owned());
        assert_eq!(check(&configuration).is_ok(), cfg!(feature = "tls"));
    }
}
