use std::ffi::OsString;

use super::*;

fn load(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Config, String> {
    let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
    let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Config::load(&arguments, &environment).map_err(|error| error.to_string())
}

#[test]
fn defaults_follow_tls() {
    let plain = load(&[], &[]).unwrap();
    assert_eq!(plain.options.web.listen, ["[::]:8080".parse().unwrap()]);
    assert_eq!(plain.options.relay.turns_listen, [Listen::Off]);
    assert_eq!(plain.options.tls.state_dir, None);
    assert!(!plain.is_set("listen"));

    let tls = load(&["--tls", "self-signed"], &[("HOME", "/home/dove")]).unwrap();
    assert_eq!(tls.options.web.listen, ["[::]:8443".parse().unwrap()]);
    assert_eq!(tls.options.relay.turns_listen, ["[::]:5349".parse().unwrap()]);
    assert_eq!(tls.options.tls.state_dir, Some("/home/dove/.local/state/columba".into()));
}

#[test]
fn turn_credentials_are_stricter_where_the_internet_reaches() {
    let local = ["--listen", "127.0.0.1:0", "--stun-listen", "10.0.0.1:3478"];
    let public = ["--listen", "203.0.113.1:80", "--stun-listen", "off"];
    let of = |base: &[&str], more: &[&str]| {
        let options = load(&[base, more].concat(), &[]).unwrap().options.relay;
        (options.turn_credentials(), options.credential_lifetime().as_secs() / 3600)
    };
    assert_eq!(of(&local, &[]), (TurnCredentials::Open, 12));
    assert_eq!(of(&local, &["--join-key", "x"]), (TurnCredentials::Open, 12));
    assert_eq!(of(&public, &[]), (TurnCredentials::Peers, 1));
    assert_eq!(of(&public, &["--join-key", "x"]), (TurnCredentials::Joined, 1));
    for outside in
        [["--public-host", "a.test"], ["--public-address", "203.0.113.1"], ["--trust-proxy", "10.0.0.0/8"]]
    {
        assert_eq!(of(&local, &outside), (TurnCredentials::Peers, 1), "{outside:?}");
    }
    let chosen = ["--turn-credentials", "open", "--credential-lifetime", "2h"];
    assert_eq!(of(&public, &chosen), (TurnCredentials::Open, 2));
}

#[test]
fn options_that_do_not_fit_together_are_refused() {
    for (arguments, word) in [
        (&["--tls-cert", "a.pem"][..], "--tls-key"),
        (&["--tls-key", "a.pem"], "--tls-cert"),
        (&["--idle-timeout", "10s"], "--ping-interval"),
        (&["--message-size", "4MiB"], "--peer-buffer"),
        (&["--peers-per-session", "1"], "at least 2"),
        (&["--max-peers", "0"], "at least 1"),
        (&["--join-timeout", "0s"], "between"),
        (&["--turn-credentials", "joined"], "--join-key"),
        (&["--join-key", "two words"], "1 to 128"),
    ] {
        let sentence = load(arguments, &[]).unwrap_err();
        assert!(sentence.contains(word), "{arguments:?} → {sentence}");
        assert_eq!(sentence.trim().lines().count(), 1, "{sentence}");
    }
}

#[test]
fn misspelt_variables_are_refused_with_the_name_that_is_meant() {
    for (name, meant) in [
        ("COLUMBA_LISTNE", "COLUMBA_LISTEN"),
        ("COLUMBA_TURN_SECRETS", "COLUMBA_TURN_SECRET"),
        ("COLUMBA_MAXPEERS", "COLUMBA_MAX_PEERS"),
    ] {
        let sentence = load(&[], &[(name, "1")]).unwrap_err();
        assert!(sentence.contains(name) && sentence.contains(meant), "{sentence}");
    }
    let config = load(&[], &[("COLUMBA_SERVICE_HOST", "10.0.0.1"), ("COLUMBA_REALM", "x")]).unwrap();
    assert_eq!(config.warnings.len(), 1);
    assert!(config.warnings[0].contains("COLUMBA_SERVICE_HOST"));
}

#[test]
fn printed_configuration_can_be_read_back() {
    let arguments =
        ["--listen", ":81,:82", "--tls", "self-signed", "--max-peers", "7", "--turn-secret", "hush,hush"];
    let config = load(&arguments, &[]).unwrap();
    assert_eq!(config.options.relay.turn_secret[0].expose(), "hush,hush");
    let printed = config.to_toml();
    assert!(!printed.contains("hush"), "{printed}");
    assert!(printed.contains("# turn-secret = [\"(redacted)\"]  # flag"), "{printed}");
    assert!(printed.contains("max-peers = 7  # flag"), "{printed}");
    assert!(printed.contains("ping-interval = \"20s\"  # default"), "{printed}");

    let file = std::env::temp_dir().join(format!("columba-read-back-{}.toml", std::process::id()));
    std::fs::write(&file, &printed).unwrap();
    let again = load(&["--config", file.to_str().unwrap(), "--turn-secret", "hush"], &[]);
    std::fs::remove_file(&file).unwrap();
    let again = again.unwrap();
    assert_eq!(again.text.get("listen"), config.text.get("listen"));
    assert_eq!(again.set.get("max-peers"), Some(&"file"));
    let values = |config: &Config| {
        config
            .text
            .iter()
            .filter(|(k, _)| *k != "turn-secret")
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(values(&again), values(&config));
}
