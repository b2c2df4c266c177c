//! Lite agents (RFC 8445 §2.5): they answer checks and send none.

use std::time::Duration;

use columba_ice::{CandidateKind, Config, Role, State};
use columba_netsim::{Link, Loss, Nat};

use crate::connecting::behind;
use crate::lab::{ALICE, BOB, Lab, with_stun};

const SECOND: Duration = Duration::from_secs(1);

/// The lite agent has a public address.
#[test]
fn lite_agent_answers_checks_and_follows_nominations() {
    for role in [Role::Controlling, Role::Controlled] {
        let mut lab = Lab::new(6);
        let link = || Link { loss: Loss::Random(0.05), ..Link::with_delay(Duration::from_millis(10)) };
        let home = lab.add_home(behind("198.51.100.1", Nat::SYMMETRIC));
        lab.add_peer(home, "192.168.0.7", with_stun(), link());
        let internet = lab.internet;
        lab.add_peer(internet, "203.0.113.9", Config { lite: true, ..Config::default() }, link());
        lab.with(ALICE, |host, _| host.agent.set_role(role));
        lab.with(BOB, |host, _| host.agent.set_role(role.opposite()));
        lab.start();
        let ready = |lab: &Lab| lab.connected() && lab.both(|host| !host.selected.is_empty());
        assert!(lab.run_until(SECOND * 10, ready), "{}", lab.network.trace());
        assert_eq!(lab.peer(ALICE).agent.role(), Role::Controlling);
        for index in lab.interfaces.clone() {
            lab.network.change_link(index, |out, into| (out.loss, into.loss) = (Loss::None, Loss::None));
        }
        lab.run_for(SECOND * 2);
        assert!(lab.exchanges_data());
        let bob = lab.peer(BOB);
        assert!(bob.found.iter().all(|one| one.kind == CandidateKind::Host) && !bob.found.is_empty());
        let requests = bob.agent.stats().pairs.iter().map(|pair| pair.counters.requests_sent).sum::<u64>();
        assert_eq!(requests, 0, "a lite agent sends no checks");
        lab.run_for(SECOND * 120);
        assert!(lab.connected() && lab.exchanges_data());
        for index in [ALICE, BOB] {
            lab.with(index, |host, now| {
                host.agent.restart(now, None);
                host.selected.clear();
            });
        }
        assert!(lab.exchanges_data(), "over the old path");
        lab.start();
        assert!(lab.run_until(SECOND * 10, ready), "{}", lab.network.trace());
        lab.run_for(SECOND * 2);
        assert!(lab.exchanges_data());
        let interface = lab.interfaces[ALICE];
        lab.network.set_up(interface, false);
        assert!(lab.run_until(SECOND * 60, |lab| lab.peer(BOB).agent.state() == State::Failed));
    }
}
