//! Attacks with credentials, tokens and names.

use super::{Attack, Promise, Report, Watched, attacker};
use crate::arena::Server;
use crate::wire::http::{join, request};
use crate::wire::turn::Turn;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new("left-credentials", left_credentials).short(),
    Attack::new("lone-credentials", lone_credentials).with(&["--turn-credentials", "peers"]).short(),
    Attack::new("guessed-keys", guessed_keys)
        .with(&["--join-key", "sesame"])
        .beside(Watched::Flow, Promise::SERVED)
        .short(),
    Attack::new("metrics", metrics).short(),
];

/// The username and password in an answer.
pub(super) fn turn_of(joined: &serde_json::Value) -> Option<(String, String)> {
    let servers = joined["iceServers"].as_array()?;
    servers.iter().find_map(|server| {
        let text = |name: &str| server[name].as_str().map(str::to_owned);
        Some((text("username")?, text("credential")?))
    })
}

/// One joins, leaves, and allocates with what it was given.
fn left_credentials(server: &Server<'_>) -> Result<Report, String> {
    let mut report = Report::default();
    let source = attacker(17, 1);
    let (joined, bearer) =
        join(source, server.web(), r#"{"type":"create"}"#).map_err(|error| error.to_string())?;
    let (username, password) = turn_of(&joined).ok_or("a member is given no TURN credentials")?;
    let allocate = |what: &str| {
        let client = Turn::with(source, server.stun(), &username, &password);
        let allocated = client.and_then(|mut client| {
            let allocated = client.allocate()?;
            if allocated.is_ok() {
                let _ = client.release();
            }
            Ok(allocated)
        });
        allocated.map_err(|error| format!("{what}: {error}"))
    };
    let before = allocate("a member's allocation")?;
    report.promise(before.is_ok(), format!("a member's allocation is answered {before:?}"));
    let header = format!("Authorization: Bearer {bearer}\r\n");
    let _ = request(source, server.web(), "DELETE /v1/signal", &header, "");
    let after = allocate("an allocation after leaving")?;
    report.promise(after == Err(401), format!("an allocation after leaving is answered {after:?}"));
    Ok(report)
}

/// One is alone, and wants to be relayed.
fn lone_credentials(server: &Server<'_>) -> Result<Report, String> {
    let mut report = Report::default();
    let joined = join(attacker(18, 1), server.web(), r#"{"type":"create"}"#);
    let (joined, _) = joined.map_err(|error| error.to_string())?;
    report.promise(turn_of(&joined).is_none(), "a member that is alone is given TURN credentials");
    Ok(report)
}

/// One guesses the join key, as fast as it may.
fn guessed_keys(server: &Server<'_>) -> Result<Report, String> {
    let mut report = Report::default();
    let mut guesses = 0;
    for n in 0..400 {
        let guess = format!(r#"{{"type":"create","key":"guess-{n}"}}"#);
        let answer = request(attacker(19, 1), server.web(), "POST /v1/signal", "", &guess);
        let (status, body) = answer.map_err(|error| error.to_string())?;
        report.promise(status != 201, format!("the key guess-{n} is taken"));
        if status == 429 {
            break;
        }
        report.promise(body.contains("wrong-key"), format!("a guess is answered {body}"));
        guesses += 1;
    }
    report.promise(guesses < 400, "guessing has no limit");
    report.note = format!("{guesses} guesses");
    Ok(report)
}

/// The metrics, by those whom they are not for.
fn metrics(server: &Server<'_>) -> Result<Report, String> {
    let mut report = Report::default();
    // The operator's address, through a proxy or under a name that was made to lead there.
    let operator = [5, 0, 0, 2].into();
    for (source, header) in [
        (attacker(20, 1), ""),
        (attacker(20, 1), "X-Forwarded-For: 5.0.0.2\r\n"),
        (operator, "X-Forwarded-For: 203.0.113.1\r\n"),
        (operator, "Via: 1.1 proxy\r\n"),
    ] {
        let answer = request(source, server.web(), "GET /metrics", header, "");
        let status = answer.map_err(|error| error.to_string())?.0;
        report.promise(status == 403, format!("/metrics with {header:?} of {source} is answered {status}"));
    }
    Ok(report)
}
