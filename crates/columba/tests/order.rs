//! The order of events, and the values that are visible at each, as a binding to the W3C's
//! interface would have them: compared with recordings of Chromium and Firefox
//! (`e2e/record/orders.js`), in which two pages do the same.
#![allow(missing_docs, reason = "a test")]

#[path = "order/binding.rs"]
mod binding;
mod common;
#[path = "order/differences.rs"]
mod differences;

use std::collections::BTreeMap;

use binding::{Side, Sides};
use columba::{SessionDescription, TrackKind, TransceiverInit};
use differences::{DIFFERENCES, What};

/// The lines of each side of each section.
type Sections = BTreeMap<String, BTreeMap<String, Vec<String>>>;

/// A part of the events whose order does not depend on how fast the network is: gathering goes on
/// beside checks and negotiations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    Signaling,
    Gathering,
    Connection,
}

const LANES: [Lane; 3] = [Lane::Signaling, Lane::Gathering, Lane::Connection];

impl Lane {
    fn of(event: &str) -> Self {
        match event.split([' ', '(']).next().unwrap_or_default() {
            "negotiationneeded"
            | "signalingstatechange"
            | "setLocalDescription"
            | "setRemoteDescription"
            | "track"
            | "stream" => Self::Signaling,
            "icecandidate" | "icegatheringstatechange" => Self::Gathering,
            _ if event == "ice gatheringstatechange" => Self::Gathering,
            _ => Self::Connection,
        }
    }

    /// The values that belong to it.
    fn values(self, all: &str) -> String {
        let all: Vec<_> = all.split(' ').collect();
        match self {
            Self::Signaling => all[0].to_owned(),
            Self::Gathering => format!("{} {}", all[1], all[4]),
            Self::Connection => format!("{} {} {}", all[2], all[3], all[5..].join(" ")),
        }
    }

    /// The lines of this lane, each as its event and the values. Which pair is selected when
    /// depends on the host, and Firefox does not say it. "completed" is a state here and in no
    /// browser; it counts as "connected".
    fn pick(self, lines: &[String]) -> Vec<(String, String)> {
        let lines: Vec<_> = lines.iter().map(|line| line.replace("completed", "connected")).collect();
        let split = lines.iter().filter_map(|line| line.split_once(" | "));
        let column = |line: &str, index: usize| line.split(' ').nth(index).unwrap_or_default().to_owned();
        let first = lines.first().and_then(|line| line.split_once(" | ")).map_or("", |(_, values)| values);
        // The last that was told of the connection's and of the transport's state.
        let mut told = [column(first, 2), column(first, 5)];
        let mut picked = Vec::new();
        for (event, values) in split {
            let is_news = match event {
                "iceconnectionstatechange" => {
                    let state = column(values, 2);
                    std::mem::replace(&mut told[0], state.clone()) != state
                }
                "ice statechange" => {
                    let state = column(values, 5);
                    std::mem::replace(&mut told[1], state.clone()) != state
                }
                "ice selectedcandidatepairchange" => false,
                _ => true,
            };
            if is_news && Self::of(event) == self {
                picked.push((event.to_owned(), self.values(values)));
            }
        }
        // How many candidates there are is up to the host.
        picked.dedup_by(|one, other| one == other && one.0 == "icecandidate");
        picked
    }
}

/// The descriptions are exchanged when they have all candidates, as in the recordings.
async fn negotiate(sides: &mut Sides, from: Side) {
    let to = from.other();
    sides[from].set_local("offer", None).await;
    sides.until(|sides| sides[from].is_gathered()).await;
    let offer = sides[from].connection.local_description().unwrap();
    sides[to].set_remote("offer", offer).await;
    sides[to].set_local("answer", None).await;
    sides.until(|sides| sides[to].is_gathered()).await;
    let answer = sides[to].connection.local_description().unwrap();
    sides[from].set_remote("answer", answer).await;
}

/// Plays what two connections of a browser do in `e2e/browser/pages/orders.js`.
async fn play() -> Sections {
    use Side::{Callee, Caller};
    let mut sides = Sides::new();
    let needs = |sides: &Sides| sides[Caller].has_told("negotiationneeded");

    sides.begin("a channel is created, and connects");
    sides[Caller].open("chat");
    sides.until(needs).await;
    negotiate(&mut sides, Caller).await;
    sides.until(|sides| sides.each(|one| one.has_told("channel open") && one.is_connected())).await;

    sides.begin("messages");
    sides[Caller].send();
    sides
        .until(|sides| {
            sides[Callee].has_told("channel message") && sides[Caller].has_told("channel bufferedamountlow")
        })
        .await;

    sides.begin("ICE restarts");
    sides[Caller].connection.restart_ice();
    sides.until(needs).await;
    negotiate(&mut sides, Caller).await;
    sides[Caller].send_untold();
    sides
        .until(|sides| {
            sides[Callee].has_told("channel message") && sides[Caller].has_told("channel bufferedamountlow")
        })
        .await;

    sides.begin("an offer is taken back by both");
    let audio =
        sides[Caller].connection.add_transceiver(TrackKind::Audio, TransceiverInit::default()).unwrap();
    sides.until(needs).await;
    sides[Caller].set_local("offer", None).await;
    let offer = sides[Caller].connection.local_description().unwrap();
    sides[Callee].set_remote("offer", offer).await;
    sides[Callee].set_remote("rollback", SessionDescription::rollback()).await;
    sides[Caller].set_local("rollback", Some(SessionDescription::rollback())).await;
    sides.until(|sides| sides[Caller].times_told("negotiationneeded") == 2).await;

    sides.begin("a transceiver is added");
    negotiate(&mut sides, Caller).await;

    sides.begin("a transceiver stops");
    audio.stop().unwrap();
    sides.until(needs).await;
    negotiate(&mut sides, Caller).await;

    sides.begin("a channel closes");
    sides[Caller].close_channel();
    sides.until(|sides| sides.each(|one| one.has_told("channel close"))).await;

    sides.begin("a connection closes");
    sides[Caller].open("another");
    sides.until(|sides| sides.each(|one| one.has_told("channel open"))).await;
    sides.begin("a connection closes");
    sides[Caller].close().await;
    sides.until(|sides| sides[Callee].has_told("dtls statechange")).await;
    sides.into_sections()
}

fn recorded(browser: &str) -> Sections {
    let path = format!("{}/tests/orders/{browser}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    let whole: serde_json::Value = serde_json::from_str(&text).unwrap();
    serde_json::from_value(whole["sections"].clone()).unwrap()
}

/// Returns how two recordings of a lane differ.
fn difference(ours: &[(String, String)], theirs: &[(String, String)]) -> Option<What> {
    let events = |lane: &[(String, String)]| lane.iter().map(|(event, _)| event.clone()).collect::<Vec<_>>();
    if ours == theirs {
        None
    } else if events(ours) != events(theirs) {
        Some(What::Order)
    } else {
        Some(What::Values)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_as_in_browsers_but_for_what_is_explained() {
    let ours = play().await;
    if std::env::var("SHOW_ORDER").is_ok() {
        println!("{}", serde_json::to_string_pretty(&ours).unwrap());
    }
    let mut unexplained = String::new();
    let mut used = Vec::new();
    for browser in ["chromium", "firefox"] {
        let theirs = recorded(browser);
        assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>(), "{browser}");
        for (section, sides) in &ours {
            for side in ["caller", "callee"] {
                let none = Vec::new();
                let all = [sides, &theirs[section]].map(|sides| sides.get(side).unwrap_or(&none));
                for lane in LANES {
                    let [own, other] = all.map(|lines| lane.pick(lines));
                    let found = difference(&own, &other);
                    let lane = format!("{lane:?}").to_lowercase();
                    let known = DIFFERENCES.iter().position(|one| {
                        one.browser == browser
                            && one.section == section
                            && one.side == side
                            && one.lane == lane
                    });
                    used.extend(known);
                    if found != known.map(|index| DIFFERENCES[index].what) {
                        unexplained += &format!(
                            "{browser}, {section}, {side}, {lane}: {found:?}\n  ours {own:#?}\n  theirs {other:#?}\n"
                        );
                    }
                }
            }
        }
    }
    assert!(unexplained.is_empty(), "{unexplained}");
    let idle = (0..DIFFERENCES.len()).find(|index| !used.contains(index)).map(|index| DIFFERENCES[index].why);
    assert_eq!(idle, None, "it is explained, and not there");
}
