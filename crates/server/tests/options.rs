//! The command line and its refusals.

mod common;

use common::{Folder, Server, program, run};

/// Runs into a refusal: exit 2 and one sentence, which names all of this.
fn refused(arguments: &[&str], environment: &[(&str, &str)], words: &[&str]) {
    let output = program().args(arguments).envs(environment.iter().copied()).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
    assert_eq!(stderr.trim().lines().count(), 1, "{arguments:?}: {stderr}");
    assert!(stderr.starts_with("columba: ") && stderr.trim().ends_with('.'), "{stderr}");
    for word in words {
        assert!(stderr.contains(word), "{arguments:?}: no {word:?} in {stderr}");
    }
}

fn printed(arguments: &[&str], environment: &[(&str, &str)]) -> toml::Table {
    let output =
        program().arg("--print-config").args(arguments).envs(environment.iter().copied()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().parse().unwrap()
}

#[test]
fn flags_go_before_environment_before_file_before_defaults() {
    let folder = Folder::new();
    let file = folder
        .file("columba.toml", "max-peers = 7\nping-interval = \"21s\"\nlisten = [\"[::1]:81\", \"82\"]\n");
    let environment = [("COLUMBA_MAX_PEERS", "8"), ("COLUMBA_CONFIG", &*file), ("COLUMBA_REALM", "")];
    let number = |table: &toml::Table, key: &str| table[key].as_integer().unwrap();

    let all = printed(&["--max-peers", "9"], &environment);
    assert_eq!(number(&all, "max-peers"), 9);
    let without_flag = printed(&[], &environment);
    assert_eq!(number(&without_flag, "max-peers"), 8);
    assert_eq!(without_flag["realm"].as_str(), Some("columba"), "an empty variable is none");
    let only_file = printed(&["--config", &file], &[]);
    assert_eq!(number(&only_file, "max-peers"), 7);
    assert_eq!(only_file["ping-interval"].as_str(), Some("21s"));
    let listen: Vec<&str> =
        only_file["listen"].as_array().unwrap().iter().filter_map(|v| v.as_str()).collect();
    assert_eq!(listen, ["[::1]:81", "82"]);
    let nothing = printed(&[], &[]);
    assert_eq!(number(&nothing, "max-peers"), 100_000);
    let lists = printed(&[], &[("COLUMBA_ALLOW_ORIGIN", "https://a.test,https://b.test")]);
    assert_eq!(lists["allow-origin"].as_array().unwrap().len(), 2);
}

#[test]
fn secrets_are_not_printed() {
    let output = run(&["serve", "--print-config", "--turn-secret", "hush"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("turn-secret") && text.contains("redacted") && !text.contains("hush"), "{text}");
    let environment = [("COLUMBA_TURN_SECRET", "hush")];
    let help = program().args(["serve", "--help"]).envs(environment).output().unwrap();
    let text = String::from_utf8(help.stdout).unwrap();
    assert!(text.contains("--turn-secret") && !text.contains("hush"), "{text}");
}

#[test]
fn bad_options_are_refused_in_one_sentence() {
    refused(&["--lisen", "1"], &[], &["--lisen", "--help"]);
    refused(&["serve", "--ping-interval", "30"], &[], &["30", "--ping-interval", "30s"]);
    refused(&["--listen", "localhost:80"], &[], &["localhost:80", "--listen", "address"]);
    refused(&["--tls", "on"], &[], &["on", "self-signed"]);
    refused(&["--log-level", "=,="], &[], &["--log-level"]);
    refused(&["dance"], &[], &["dance"]);
    refused(&["--allow-origin", "wss://a.test"], &[], &["wss://a.test", "--allow-origin", "https://"]);
    refused(&["--allow-origin", "https://*"], &[], &["--allow-origin", "https://*.example.org"]);
    refused(&["--max-peers", "0"], &[], &["--max-peers"]);
    refused(&[], &[("COLUMBA_MAX_PEER", "7")], &["COLUMBA_MAX_PEER", "COLUMBA_MAX_PEERS"]);
    refused(&[], &[("COLUMBA_MAX_PEERS", "many")], &["COLUMBA_MAX_PEERS", "many"]);
}

#[test]
fn limit_of_open_files_below_what_is_configured_is_said_at_start() {
    let limited = |more: &[&str]| {
        let mut shell = std::process::Command::new("/bin/sh");
        shell.env_clear().args(["-c", "ulimit -n 500; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_columba")]);
        shell.args(["serve", "--listen", "127.0.0.1:0", "--stun-listen", "off"]).args(more);
        Server::spawn(&mut shell)
    };
    limited(&[]).wait_for("The limit of open files is 500, but 10000 connections");
    let mut enough = limited(&["--max-connections", "400", "--log-level", "debug"]);
    enough.request("GET /healthz", "");
    assert!(!enough.output.contains("limit of open files"), "{}", enough.output);
    enough.signal(rustix::process::Signal::TERM);
    enough.wait_for("stopping");
    assert!(!enough.output.contains("limit of open files"), "{}", enough.output);
}

#[test]
fn bad_files_are_refused_with_file_and_key() {
    let folder = Folder::new();
    for (text, words) in [
        ("lisen = \"1\"\n", &["\"lisen\"", "listen"][..]),
        ("max_peers = 1\n", &["\"max_peers\"", "max-peers"]),
        ("max-peers = \"many\"\n", &["\"max-peers\"", "many"]),
        ("realm = [\"a\", \"b\"]\n", &["\"realm\"", "single"]),
        ("realm = \"a\"\nrealm = \"b\"\n", &["line 2"]),
        ("[web]\nlisten = \"1\"\n", &["\"web\""]),
        ("listen = = 1\n", &["line 1", "not TOML"]),
        ("tls = \"on\"\n", &["\"tls\"", "self-signed"]),
        ("config = \"x\"\n", &["\"config\""]),
    ] {
        let file = folder.file("columba.toml", text);
        let mut expected = vec!["columba.toml"];
        expected.extend(words);
        refused(&["--config", &file], &[], &expected);
    }
    refused(
        &["--config", "/nonexistent/columba.toml"],
        &[],
        &["/nonexistent/columba.toml", "cannot be read"],
    );
}

#[test]
fn unopenable_listeners_and_files_are_refused_with_advice() {
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let (taken, taken_udp) = (tcp.local_addr().unwrap().to_string(), udp.local_addr().unwrap().to_string());
    let port = taken.rsplit(':').next().unwrap().to_owned();
    refused(&["--listen", &taken], &[], &[&port, "taken", "--listen"]);
    refused(
        &["--listen", "127.0.0.1:0", "--stun-listen", &taken_udp],
        &[],
        &["UDP port", "taken", "--stun-listen"],
    );
    refused(&["--listen", "192.0.2.77:0"], &[], &["192.0.2.77", "--listen"]);
    refused(&["--listen", "off"], &[], &["--listen"]);
    refused(
        &["--listen", "127.0.0.1:0", "--turns-listen", "127.0.0.1:0"],
        &[],
        &["--turns-listen", "certificate"],
    );
}

#[test]
fn certificates_that_cannot_be_used_are_refused_with_advice() {
    let folder = Folder::new();
    let made = |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let cert = rcgen::CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap();
        (
            folder.file(&format!("{name}.crt"), &cert.pem()),
            folder.file(&format!("{name}.key"), &key.serialize_pem()),
        )
    };
    let ((cert, key), (_, other_key)) = (made("a.test"), made("b.test"));
    let empty = folder.file("empty.pem", "");
    let base = ["--listen", "127.0.0.1:0", "--stun-listen", "off"];
    let with = |cert: &str, key: &str, words: &[&str]| {
        let mut arguments = base.to_vec();
        arguments.extend(["--tls-cert", cert, "--tls-key", key]);
        refused(&arguments, &[], words);
    };
    with("/nonexistent.pem", &key, &["/nonexistent.pem", "cannot be read"]);
    with(&cert, "/nonexistent.key", &["/nonexistent.key", "cannot be read"]);
    with(&empty, &key, &["empty.pem", "holds no certificate"]);
    with(&cert, &empty, &["empty.pem", "holds no private key"]);
    with(&cert, &other_key, &["b.test.key", "does not belong"]);
}

#[test]
fn help_and_version_go_to_standard_output() {
    for arguments in [&["--help"][..], &["--version"], &["serve", "--help"]] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{arguments:?}");
    }
    let help = String::from_utf8(run(&["serve", "--help"]).stdout).unwrap();
    assert!(help.contains("--relay-ports") && help.contains("49152-65535"), "{help}");
}

#[test]
fn help_fits_a_screen() {
    let output = run(&["--help"]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("help is text");
    assert!(text.lines().count() <= 24, "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    for command in ["serve", "send", "receive", "pipe", "offer", "answer", "chat", "completions", "man"] {
        assert!(text.lines().any(|line| line.trim_start().starts_with(command)), "{command}");
    }
}
