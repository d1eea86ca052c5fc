//! Connections that are cut after any number of bytes, in either direction, by a proxy between a
//! real client and a real server.
//!
//! By default at a few places; `MUSTER_SWEEP=full` cuts every few bytes.

use std::fs;
use std::thread;

use crate::support::{After, Cut, Fleet, Host, How, MAIN, Proxy, Run, Transport, Way, inspect};

/// How many places of a command are cut: by default, and by hand.
const PLACES: usize = 2;
const PLACES_FULL: usize = 150;

/// The same where each takes the whole time of the command.
const PLACES_STALLED: usize = 2;
const PLACES_STALLED_FULL: usize = 12;

/// Places in the head of the first answer, where git takes what is missing for nothing.
const IN_THE_HEAD: [usize; 1] = [40];

/// Places in the last answer, counted from the end of all.
const IN_THE_ANSWER: [usize; 3] = [100, 160, 280];

/// How often a cut is tried that was not reached.
const TRIES_MAX: usize = 4;

/// So many commits are there before anything is measured: what git says of those it has grows until then.
const COMMITS_BEFORE: usize = 20;

/// How often a command is measured.
const MEASUREMENTS: usize = 3;

/// By so many bytes one run of a command may be shorter than another: ids and times are packed anew.
const LENGTHS_DIFFER_BY: usize = 64;

/// With its last bytes who asks only takes leave: one that stalls there stalls what comes next.
const FAREWELL: usize = 256;

/// The time of a command whose connection stalls, and of one that can try again.
const PATIENCE: [(How, &str); 3] = [(How::Stall, "3s"), (How::Reset, "60s"), (How::Close, "60s")];

fn is_full() -> bool {
    std::env::var("MUSTER_SWEEP").is_ok_and(|what| what == "full")
}

/// A command that is left alone: how many bytes went through each way, before it pushed and in all.
#[derive(Debug, Clone, Copy)]
struct Whole {
    before_push: (usize, usize),
    all: (usize, usize),
}

/// Every cut of such a command: over what it asks, and over its push if it is a write.
fn cuts(whole: Whole) -> Vec<Cut> {
    let mut cuts = Vec::new();
    let (up, down) = ((whole.before_push.0, whole.all.0), (whole.before_push.1, whole.all.1));
    for (way, (push_from, end)) in [(Way::Up, up), (Way::Down, down)] {
        let reached = end - LENGTHS_DIFFER_BY;
        let parts = [(0, push_from.saturating_sub(FAREWELL)), (push_from, reached)];
        for how in [How::Reset, How::Close, How::Stall] {
            let places = match (how, is_full()) {
                (How::Stall, false) => PLACES_STALLED,
                (How::Stall, true) => PLACES_STALLED_FULL,
                (_, false) => PLACES,
                (_, true) => PLACES_FULL,
            };
            let in_the_head = IN_THE_HEAD.into_iter().filter(|_| how != How::Stall || is_full());
            let in_the_answer =
                IN_THE_ANSWER.into_iter().filter(|_| way == Way::Down).map(|from_end| end - from_end);
            cuts.extend(
                in_the_head.chain(in_the_answer).map(|bytes| Cut { after: After::Bytes(way, bytes), how }),
            );
            for (from, to) in parts.into_iter().filter(|(from, to)| from < to) {
                let spread = (1..=places).map(|place| from + (to - from) * place / places);
                cuts.extend(spread.map(|bytes| Cut { after: After::Bytes(way, bytes), how }));
            }
        }
    }
    cuts
}

/// A hub behind a proxy, a host that goes through it, and one that does not.
struct Line {
    fleet: Fleet,
    proxy: Proxy,
    ada: Host,
    bob: Host,
}

impl Line {
    fn over(transport: Transport) -> Self {
        let fleet = Fleet::over(transport).founded();
        let port = fleet.hub().port().expect("a hub behind a server");
        let branch = fleet.hub().path().join("refs/heads").join(MAIN);
        assert!(branch.is_file(), "whether it has moved is asked of {}", branch.display());
        let proxy = Proxy::before(port, branch);
        let (mut ada, bob) = (fleet.host("ada"), fleet.host("bob"));
        let url = fleet.hub().url().replace(&format!(":{port}/"), &format!(":{}/", proxy.port()));
        ada.set("MUSTER_HUB", url);
        for (name, value) in fleet.hub().client_env() {
            ada.set(&name, format!("{value} -p {}", proxy.port()));
        }
        for host in [&ada, &bob] {
            host.run(["join", "--as", host.name()]).success();
        }
        for _ in 0..COMMITS_BEFORE {
            bob.run(says("was here")).success();
        }
        Self { fleet, proxy, ada, bob }
    }

    fn has(&self, subject: &str) -> usize {
        let document = inspect::document(self.fleet.hub(), MAIN, "coordination/messages.json");
        document["messages"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|message| message["subject"] == subject)
            .count()
    }

    /// Has ada run something under a cut, which has to fall. Both write first: so ada has to ask what the
    /// hub has, and to fetch it, each time.
    ///
    /// `None` if the command was over before the cut was reached.
    fn under(&self, cut: Option<Cut>, arguments: &[&str]) -> Option<(Run, Place)> {
        for host in [&self.ada, &self.bob] {
            host.run(says("was here")).success();
        }
        let trace = self.ada.place("HOME").join("trace");
        fs::write(&trace, "").unwrap();
        self.proxy.set_witness(&trace, "built-in: git push ");
        let cut = cut.unwrap_or(Cut { after: After::Everything, how: How::Close });
        self.proxy.arm(cut);
        let (_, patience) = PATIENCE.into_iter().find(|(how, _)| *how == cut.how).unwrap();
        let command = self.ada.command(arguments).env("MUSTER_TIMEOUT", patience).env("GIT_TRACE", &trace);
        let run = command.run();
        self.proxy.disarm();
        let place = match (self.proxy.fallen(), cut.after) {
            (None, After::Everything) => Place::Nowhere,
            (None, _) => return None,
            (Some(fallen), After::Bytes(way, bytes)) => {
                assert_eq!(fallen.passed(way), bytes, "{cut:?}");
                Place::of(&fallen.witness)
            }
            (Some(fallen), _) => Place::of(&fallen.witness),
        };
        // With the last bytes of an answer who asked only takes leave: it goes on, and meets the cut later.
        let went_on = Place::of(&fs::read_to_string(&trace).unwrap()) != Place::Asking;
        let place = if (cut.how, place, went_on) == (How::Stall, Place::Asking, true) {
            Place::Pushing
        } else {
            place
        };
        Some((run, place))
    }

    /// Runs what is made anew for each try: no two runs have the same length, and a cut that was not
    /// reached by one falls within the next.
    fn surely(&self, mut cut: Cut, run: impl Fn(&str, Cut) -> Option<Seen>) -> Seen {
        for number in 0..TRIES_MAX {
            if let Some(seen) = run(&format!("{:?} {:?} {number}", cut.how, cut.after), cut) {
                return seen;
            }
            if let After::Bytes(way, bytes) = &mut cut.after {
                *bytes = self.proxy.counted(*way) - LENGTHS_DIFFER_BY;
            }
        }
        panic!("{cut:?} did not fall");
    }

    /// Runs a write under a cut and settles it.
    fn write(&self, subject: &str, cut: Cut) -> Option<Seen> {
        let (run, place) = self.under(Some(cut), &says(subject))?;
        let seen = Seen { place, how: cut.how, exit_code: run.exit_code(), arrived: self.has(subject) > 0 };
        seen.assert_allowed(cut, &run);
        let unsettled = self.ada.unsettled();
        let unsettled = unsettled.as_array().unwrap();
        assert_eq!(unsettled.len(), usize::from(run.exit_code() == Some(9)), "{cut:?}: {unsettled:?}");
        for entry in unsettled {
            let op = entry["op"].as_str().unwrap();
            self.ada.run(["op", "resume", op]).success();
        }
        let expected = usize::from(seen.arrived || !unsettled.is_empty());
        assert_eq!(self.has(subject), expected, "{cut:?}: settled\n{run}");
        Some(seen)
    }

    /// Lists messages under a cut, with one that is new.
    fn read(&self, subject: &str, cut: Cut) -> Option<Seen> {
        self.bob.run(says(subject)).success();
        let (run, place) = self.under(Some(cut), &["message", "list"])?;
        assert_eq!(place, Place::Asking, "{cut:?}");
        let seen =
            Seen { place, how: cut.how, exit_code: run.exit_code(), arrived: run.stdout().contains(subject) };
        seen.assert_allowed(cut, &run);
        let again = self.ada.run(["message", "list"]).success();
        assert!(again.stdout().contains(subject), "{cut:?}: {again}");
        Some(seen)
    }

    /// Runs something that is left alone a few times; the shortest counts, so that each cut is reached.
    fn measure(&self, arguments: &[&str]) -> Whole {
        let once = |_| {
            self.under(None, arguments).unwrap().0.success();
            let all = (self.proxy.counted(Way::Up), self.proxy.counted(Way::Down));
            let push = self.proxy.marked();
            Whole { before_push: push.map_or(all, |moment| (moment.up, moment.down)), all }
        };
        (0..MEASUREMENTS).map(once).min_by_key(|whole| whole.all.1).unwrap()
    }
}

fn says(subject: &str) -> [&str; 6] {
    ["message", "send", "--to", "all", "--subject", subject]
}

/// What a command was at when its connection was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// It was not cut.
    Nowhere,
    /// What the hub has.
    Asking,
    /// Moving the hub's branch.
    Pushing,
    /// What the hub has, after it took no push because another was faster.
    AskingAgain,
}

impl Place {
    /// By what git wrote of itself until then: which of its programs were begun.
    fn of(trace: &str) -> Self {
        let programs =
            trace.lines().filter_map(|line| line.split_once("built-in: git ")?.1.split(' ').next());
        let programs: Vec<&str> = programs.filter(|program| ["fetch", "push"].contains(program)).collect();
        match programs.split_last() {
            Some((&"push", _)) => Self::Pushing,
            Some((_, before)) if before.contains(&"push") => Self::AskingAgain,
            Some(_) => Self::Asking,
            None => Self::Nowhere,
        }
    }
}

/// How a command under a cut ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    place: Place,
    how: How,
    exit_code: Option<i32>,
    /// Whether the hub, or whoever asked it, has what is new.
    arrived: bool,
}

impl Seen {
    /// The codes that are right for the place, each with whether the news arrived.
    ///
    /// A connection that ends leaves time to try again, and then everything is as without a cut. One that
    /// stalls takes its time: who asked knows that nothing was done, who pushed does not know, unless the
    /// answer was there but for its last bytes, or the time that is left is enough to ask.
    fn allowed(self) -> &'static [(i32, bool)] {
        match (self.how, self.place) {
            (_, Place::Nowhere) => &[],
            (How::Reset | How::Close, _) => &[(0, true)],
            (How::Stall, Place::Asking) => &[(7, false)],
            (How::Stall, Place::AskingAgain) => &[(75, false)],
            (How::Stall, Place::Pushing) => &[(9, false), (9, true), (0, true)],
        }
    }

    #[track_caller]
    fn assert_allowed(self, cut: Cut, run: &Run) {
        let allowed = self.allowed();
        if !allowed.iter().any(|(code, arrived)| Some(*code) == self.exit_code && *arrived == self.arrived) {
            run.fail(&format!("{cut:?}: {self:?} is none of {allowed:?}"));
        }
    }
}

/// Cuts a write and a read in these manners, everywhere; how the writes ended.
fn cut_in(transport: Transport, manners: &[How]) -> Vec<Seen> {
    let line = Line::over(transport);
    let mut writes: Vec<Seen> = Vec::new();
    for way in [Way::Up, Way::Down] {
        for how in manners {
            // Measured anew: each message makes what is fetched longer.
            let cuts = cuts(line.measure(&says("the first"))).into_iter();
            let cuts = cuts.filter(|cut| cut.how == *how);
            let cuts = cuts.filter(|cut| matches!(cut.after, After::Bytes(cut, _) if cut == way));
            writes.extend(cuts.map(|cut| line.surely(cut, |subject, cut| line.write(subject, cut))));
        }
    }
    // The answer is lost for certain, which a number of bytes hits by chance only.
    for how in manners {
        let cut = Cut { after: After::TheMove, how: *how };
        let seen = line.surely(cut, |subject, cut| line.write(subject, cut));
        assert_eq!((seen.place, seen.arrived), (Place::Pushing, true), "{seen:?}");
    }
    let cuts = cuts(line.measure(&["message", "list"])).into_iter();
    for cut in cuts.filter(|cut| manners.contains(&cut.how)) {
        line.surely(cut, |subject, cut| line.read(subject, cut));
    }
    assert!(inspect::ops_in_history(line.fleet.hub(), MAIN).values().all(|count| *count == 1));
    inspect::assert_hub_is_sound(line.fleet.hub());
    writes
}

fn cut_everywhere(transport: Transport) {
    // What stalls only waits, and what does not works meanwhile.
    let writes: Vec<Seen> = thread::scope(|scope| {
        let stalled = scope.spawn(|| cut_in(transport, &[How::Stall]));
        let ended = cut_in(transport, &[How::Reset, How::Close]);
        ended.into_iter().chain(stalled.join().unwrap()).collect()
    });
    let count = |all: &[Seen], wanted: &dyn Fn(&Seen) -> bool| all.iter().filter(|seen| wanted(seen)).count();
    for how in [How::Reset, How::Close, How::Stall] {
        for place in [Place::Asking, Place::Pushing] {
            let cases = count(&writes, &|seen| (seen.how, seen.place) == (how, place));
            assert!(cases > 0, "{how:?} while it is {place:?}");
        }
    }

    // The other way not to know: the question was lost.
    assert!(count(&writes, &|seen| seen.exit_code == Some(9) && !seen.arrived) > 0);
}

#[test]
fn a_connection_over_ssh_can_be_cut_anywhere() {
    let without = Transport::Daemon;
    cut_everywhere(if Transport::Ssh.is_here() { Transport::Ssh } else { without });
}

#[test]
fn a_connection_over_http_can_be_cut_anywhere() {
    // Without its server it would be cut over `git://`, as the other is then.
    if Transport::Http.is_here() {
        cut_everywhere(Transport::Http);
    }
}
