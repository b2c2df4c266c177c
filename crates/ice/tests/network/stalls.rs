//! Hosts that do nothing for a while, as on a machine that is busy: what they have not read is not
//! lost, and no path is dead for that.

use std::time::Duration;

use columba_ice::Config;

use crate::lab::{ALICE, BOB, Lab, ip};

const SECOND: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_millis(20);

/// Two ways between the peers, both known to work.
fn world(seed: u64) -> Lab {
    let mut lab = Lab::two_lans(&Config::default(), Duration::from_millis(4), seed);
    lab.start();
    assert!(lab.run_until(SECOND * 2, Lab::settled), "{}", lab.network.trace());
    lab.run_for(SECOND * 3);
    lab
}

/// The host that runs sends.
fn talk(lab: &mut Lab, time: Duration) {
    for _ in 0..time.as_millis() / STEP.as_millis() {
        for index in [ALICE, BOB] {
            if lab.peer(index).stalled_until.is_none() {
                lab.with(index, |host, now| host.send(now, b"\x80coo"));
            }
        }
        lab.run_for(STEP);
    }
}

fn sleep(lab: &mut Lab, index: usize, time: Duration) {
    lab.with(index, |host, now| host.stalled_until = Some(now + time));
}

#[test]
fn stalled_host_leaves_a_dead_path() {
    for sleeper in [ALICE, BOB] {
        for late in (0..1600).step_by(200) {
            for time in [300, 500, 900] {
                let (late, time) = (Duration::from_millis(late), Duration::from_millis(time));
                let mut lab = world(1 + time.as_millis() as u64);
                lab.cut(1.0);
                talk(&mut lab, late);
                sleep(&mut lab, sleeper, time);
                talk(&mut lab, time + SECOND * 2);
                let case = format!("{sleeper} sleeps {time:?} after {late:?}");
                assert!(lab.both(|host| host.restarts_wanted == 0), "{case}\n{}", lab.network.trace());
                for index in [ALICE, BOB] {
                    let used = lab.peer(index).selected.last().map(|pair| pair.path.local.ip());
                    assert_eq!(used, Some(ip(["10.1.0.1", "10.1.0.2"][index])), "{case}");
                }
                assert!(lab.connected() && lab.exchanges_data(), "{case}");
            }
        }
    }
}

#[test]
fn stalled_host_keeps_a_working_path() {
    for sleeper in [ALICE, BOB] {
        for idle in [0, 480, 5000] {
            for time in [300, 600, 900] {
                let mut lab = world(time);
                talk(&mut lab, SECOND);
                lab.run_for(Duration::from_millis(idle));
                let before = [ALICE, BOB].map(|index| lab.peer(index).selected.len());
                sleep(&mut lab, sleeper, Duration::from_millis(time));
                talk(&mut lab, SECOND * 4);
                let case = format!("{sleeper} sleeps {time} ms, idle {idle} ms");
                assert!(lab.both(|host| host.restarts_wanted == 0), "{case}\n{}", lab.network.trace());
                let after = [ALICE, BOB].map(|index| lab.peer(index).selected.len());
                assert_eq!(after, before, "{case}\n{}", lab.network.trace());
            }
        }
    }
}
