//! The states of a claim, as tables.

use super::*;
use crate::app::observations::Observations;
use crate::machine::Machine;
use Class::{Forbidden, Invalid, LeaseLost, Nothing};
use Failure::{Away, Contended, Fault, No, Unknown};

const SECOND: Duration = Duration::from_secs(1);
const PATIENCE: WaitLimit = WaitLimit { until: Duration::from_secs(60), pause: Duration::from_secs(10) };

fn claim() -> ClaimJobs {
    let server = ServerName::new("build1").expect("a name");
    ClaimJobs::next(Claimant { server, incarnation: "old".to_owned() })
}

/// What `flow` says to each of `events`, in short.
fn told(mut flow: ClaimFlow, now: Duration, events: Vec<Event>) -> String {
    let mut observed = Observations::begin(&Machine::real());
    observed.looked("hub main holders", now);
    tell(&mut flow, &mut observed, now, events)
}

fn tell(flow: &mut ClaimFlow, observed: &mut Observations, now: Duration, events: Vec<Event>) -> String {
    let watch = &mut Watch { observed, place: "hub main", now };
    let steps = events.into_iter().map(|event| match flow.next(event, watch) {
        Step::Claim(claim) => {
            let more = [claim.lost.len(), claim.ripe.len(), claim.expired_assignment.iter().count()];
            format!("claim {} {more:?}", claim.claimant.incarnation)
        }
        Step::Reclaim(one) => format!("reclaim {}", one.lost.len()),
        Step::Wait(pause, why) => format!("{why:?} {}", pause.is_some()),
        step => format!("{step:?}"),
    });
    steps.collect::<Vec<_>>().join(", ")
}

fn command(now: Duration, events: Vec<Event>) -> String {
    told(ClaimFlow::of_command(claim(), PATIENCE), now, events)
}

fn held() -> Event {
    Event::Known(LocalView { is_held: true, ..LocalView::default() })
}

/// Claims of a session that is lost at first sight, and of one that is not.
fn seen(is_lost: bool) -> HubView {
    let patience = if is_lost { Duration::ZERO } else { 90 * SECOND };
    let claim = WatchedClaim {
        job: JobId::new("job_1_a").expect("an id"),
        token: 7,
        holder: ServerName::new("build2").expect("a name"),
        version: "7".to_owned(),
        time_patience: patience,
        session: None,
    };
    HubView { assignment: None, claims: vec![claim] }
}

#[test]
fn a_command_claims_watches_takes_over_and_waits_as_long_as_it_may() {
    use Event::{Begin, Claimed, Failed, Known as Knows, Seen as Sees, Session, Unseen};
    let over = || Knows(LocalView { is_over: true, ..LocalView::default() });
    let nothing = || Knows(LocalView::default());
    let (now, late) = (SECOND, 60 * SECOND);
    let claims = "claim old [0, 0, 0]";
    let table: Vec<(Duration, Vec<Event>, String)> = vec![
        (now, vec![Begin, Claimed(1)], format!("{claims}, Done")),
        // What was lost went back, and is not claimed a second time in vain.
        (now, vec![Begin, Claimed(0), Claimed(2)], format!("{claims}, {claims}, Done")),
        (now, vec![Begin, Failed(No(Nothing)), nothing()], format!("{claims}, Recall, HeldUp true")),
        (late, vec![Begin, Failed(No(Nothing)), nothing()], format!("{claims}, Recall, TimeUp")),
        (now, vec![Begin, Failed(Contended), nothing()], format!("{claims}, Recall, HeldUp true")),
        (late, vec![Begin, Failed(Contended)], format!("{claims}, Refused")),
        (
            now,
            vec![Begin, Failed(No(Forbidden)), held(), Sees(seen(false))],
            format!("{claims}, Recall, Look, HeldUp true"),
        ),
        // A look beyond the time still finds what may be taken over.
        (
            late,
            vec![
                Begin,
                Failed(No(Nothing)),
                held(),
                Sees(seen(true)),
                Failed(No(Nothing)),
                held(),
                Sees(seen(true)),
            ],
            format!("{claims}, Recall, Look, claim old [1, 0, 0], Recall, Look, TimeUp"),
        ),
        (
            now,
            vec![Begin, Failed(No(Nothing)), held(), Unseen(Away)],
            format!("{claims}, Recall, Look, Refused"),
        ),
        (
            now,
            vec![Begin, Failed(No(LeaseLost)), over(), Session("new".to_owned())],
            format!("{claims}, Recall, BeginAnew, claim new [0, 0, 0]"),
        ),
        // The lock that guards it is lost, not the session.
        (now, vec![Begin, Failed(No(LeaseLost)), nothing()], format!("{claims}, Recall, Refused")),
        (now, vec![Begin, Failed(No(Invalid))], format!("{claims}, Refused")),
        (now, vec![Begin, Failed(Unknown)], format!("{claims}, Refused")),
        (now, vec![Begin, Failed(Away)], format!("{claims}, Refused")),
        (now, vec![Begin, Failed(Fault)], format!("{claims}, Refused")),
    ];
    for (now, events, expected) in table {
        let shown = format!("{events:?}");
        assert_eq!(command(now, events), expected, "{shown}");
    }
}

#[test]
fn a_command_looks_for_lost_holders_first_when_nobody_did_for_a_while() {
    for (events, expected) in [
        (vec![Event::Begin, held(), Event::Seen(seen(true))], "Recall, Look, claim old [1, 0, 0]"),
        (vec![Event::Begin, held(), Event::Seen(seen(false))], "Recall, Look, claim old [0, 0, 0]"),
        (vec![Event::Begin, Event::Known(LocalView::default())], "Recall, claim old [0, 0, 0]"),
        // It is looked for beside what was asked.
        (vec![Event::Begin, held(), Event::Unseen(Fault)], "Recall, Look, claim old [0, 0, 0]"),
        (vec![Event::Begin, held(), Event::Unseen(Away)], "Recall, Look, Refused"),
    ] {
        let mut flow = ClaimFlow::of_command(claim(), PATIENCE);
        assert_eq!(tell(&mut flow, &mut Observations::begin(&Machine::real()), SECOND, events), expected);
    }
}

#[test]
fn a_delay_is_over_when_it_was_watched_for_as_long() {
    let delayed = Delayed {
        job: JobId::new("job_1_a").expect("an id"),
        delay: 30 * SECOND,
        version: "x 30".to_owned(),
    };
    let known = || Event::Known(LocalView { delayed: vec![delayed.clone()], ..LocalView::default() });
    let (mut flow, mut observed) =
        (ClaimFlow::of_command(claim(), PATIENCE), Observations::begin(&Machine::real()));
    observed.looked("hub main holders", SECOND);
    let events = vec![Event::Begin, Event::Failed(No(Nothing)), known()];
    assert_eq!(tell(&mut flow, &mut observed, SECOND, events), "claim old [0, 0, 0], Recall, HeldUp true");
    let events = vec![Event::Session("old".to_owned()), Event::Failed(No(Nothing)), known()];
    assert_eq!(
        tell(&mut flow, &mut observed, 31 * SECOND, events),
        "claim old [0, 0, 0], Recall, claim old [0, 1, 0]"
    );
}

#[test]
fn a_worker_takes_back_what_is_lost_and_claims_what_it_has_room_for() {
    use Event::{Claimed, Failed, Polled, Reclaimed, Session};
    let poll = |room, is_lost| {
        Polled(Poll { seen: seen(is_lost), room, session: "s".to_owned(), ..Poll::default() })
    };
    let begin = || Session("new".to_owned());
    let claims = "claim s [0, 0, 0]";
    let table: Vec<(bool, Vec<Event>, String)> = vec![
        (false, vec![poll(2, false), Claimed(2)], format!("{claims}, Done")),
        (false, vec![poll(0, false)], "Nothing false".to_owned()),
        (false, vec![poll(0, true), Reclaimed], "reclaim 1, Nothing false".to_owned()),
        (false, vec![poll(1, true), Reclaimed, Claimed(1)], format!("reclaim 1, {claims}, Done")),
        (false, vec![poll(1, true), Failed(No(Forbidden)), Claimed(1)], format!("reclaim 1, {claims}, Done")),
        (false, vec![poll(1, false), Failed(No(Nothing))], format!("{claims}, Nothing false")),
        (true, vec![poll(1, false), Failed(No(Nothing))], format!("{claims}, Nothing false")),
        (false, vec![poll(1, false), Failed(No(Forbidden))], format!("{claims}, Failed false")),
        (true, vec![poll(1, false), Failed(No(Forbidden))], format!("{claims}, Refused")),
        (false, vec![poll(1, false), Failed(Away)], format!("{claims}, Failed false")),
        (true, vec![poll(1, false), Failed(Away)], format!("{claims}, Refused")),
        (
            false,
            vec![poll(1, false), Failed(No(LeaseLost)), begin()],
            format!("{claims}, BeginAnew, PutOff false"),
        ),
        (
            true,
            vec![
                poll(1, false),
                Failed(Contended),
                poll(1, false),
                Failed(Unknown),
                poll(1, false),
                Failed(Contended),
            ],
            format!("{claims}, PutOff false, {claims}, PutOff false, {claims}, Refused"),
        ),
    ];
    for (once, events, expected) in table {
        let shown = format!("{events:?}");
        assert_eq!(told(ClaimFlow::of_worker(claim(), once), SECOND, events), expected, "{shown}");
    }
}
