//! Connections that are cut after any number of bytes, in either direction, by a proxy between a
//! real client and a real server.
//!
//! By default at a few places; `MUSTER_SWEEP=full` cuts every few bytes.

use crate::support::{Cut, Fleet, Host, How, MAIN, Proxy, Run, Transport, Way, inspect};

/// How many places of a command are cut: by default, and by hand.
const PLACES: usize = 6;
const PLACES_FULL: usize = 150;

/// The same where each takes the whole time of the command.
const PLACES_STALLED: usize = 2;
const PLACES_STALLED_FULL: usize = 12;

/// Places in the head of the first answer, where git takes what is missing for nothing.
const IN_THE_HEAD: [usize; 2] = [1, 40];

/// The time of a command whose connection stalls.
const PATIENCE: &str = "4s";

fn is_full() -> bool {
    std::env::var("MUSTER_SWEEP").is_ok_and(|what| what == "full")
}

/// Every cut of a command that sends and gets so many bytes.
fn cuts(up: usize, down: usize) -> Vec<Cut> {
    let mut cuts = Vec::new();
    for (way, length) in [(Way::Up, up), (Way::Down, down)] {
        for how in [How::Reset, How::Close, How::Stall] {
            let places = match (how, is_full()) {
                (How::Stall, false) => PLACES_STALLED,
                (How::Stall, true) => PLACES_STALLED_FULL,
                (_, false) => PLACES,
                (_, true) => PLACES_FULL,
            };
            let spread = (1..=places).map(|place| length * place / places);
            let in_the_head = IN_THE_HEAD.into_iter().filter(|_| how != How::Stall || is_full());
            cuts.extend(in_the_head.chain(spread).map(|after| Cut { way, after, how }));
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
    /// `None` on a machine without the server.
    fn over(transport: Transport) -> Option<Self> {
        let fleet = Fleet::in_memory(transport).founded();
        let port = fleet.hub().port()?;
        let proxy = Proxy::before(port);
        let (mut ada, bob) = (fleet.host("ada"), fleet.host("bob"));
        let url = fleet.hub().url().replace(&format!(":{port}/"), &format!(":{}/", proxy.port()));
        ada.set("MUSTER_HUB", url);
        for (name, value) in fleet.hub().client_env() {
            ada.set(&name, format!("{value} -p {}", proxy.port()));
        }
        for host in [&ada, &bob] {
            host.run(["join", "--as", host.name()]).success();
        }
        Some(Self { fleet, proxy, ada, bob })
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

    fn ada_says(&self, subject: &str) -> Run {
        let command = self.ada.command(["message", "send", "--to", "all", "--subject", subject]);
        command.env("MUSTER_TIMEOUT", PATIENCE).run()
    }

    /// Runs a write under a cut and settles it.
    fn write(&self, number: usize, cut: Cut) -> Option<i32> {
        let subject = format!("number {number}");
        self.proxy.arm(Some(cut));
        let run = self.ada_says(&subject);
        let has_it = self.has(&subject);
        match run.exit_code() {
            Some(0) => assert_eq!(has_it, 1, "{cut:?}: acknowledged\n{run}"),
            Some(9) => assert!(has_it <= 1, "{cut:?}: nobody knows\n{run}"),
            Some(7 | 75) => assert_eq!(has_it, 0, "{cut:?}: it said that nothing was written\n{run}"),
            _ => run.fail(&format!("{cut:?}")),
        }
        self.proxy.arm(None);
        let unsettled = self.ada.unsettled();
        for entry in unsettled.as_array().unwrap() {
            let op = entry["op"].as_str().unwrap();
            self.ada.run(["op", "resume", op]).success();
            assert_eq!(self.has(&subject), 1, "{cut:?}: resumed");
        }
        run.exit_code()
    }

    /// Lists messages under a cut, with one that is new.
    fn read(&self, number: usize, cut: Cut) -> Option<i32> {
        let subject = format!("news {number}");
        self.bob.run(["message", "send", "--to", "all", "--subject", &subject]).success();
        self.proxy.arm(Some(cut));
        let run = self.ada.command(["message", "list"]).env("MUSTER_TIMEOUT", PATIENCE).run();
        match run.exit_code() {
            Some(0) => assert!(run.stdout().contains(&subject), "{cut:?}: old news\n{run}"),
            Some(7) => assert_eq!(run.stdout(), "", "{cut:?}"),
            _ => run.fail(&format!("{cut:?}")),
        }
        self.proxy.arm(None);
        let again = self.ada.run(["message", "list"]).success();
        assert!(again.stdout().contains(&subject), "{cut:?}: {again}");
        run.exit_code()
    }
}

fn cut_everywhere(transport: Transport) {
    let Some(line) = Line::over(transport) else { return };
    for what in ["write", "read"] {
        let run: &dyn Fn(usize, Cut) -> Option<i32> = match what {
            "write" => &|number, cut| line.write(number, cut),
            _ => &|number, cut| line.read(number, cut),
        };
        // Never reached: counts the bytes of a command that is left alone.
        let far = Cut { way: Way::Up, after: usize::MAX, how: How::Close };
        line.proxy.arm(Some(far));
        match what {
            "write" => drop(line.ada_says("the first").success()),
            _ => drop(line.ada.run(["message", "list"]).success()),
        }
        let (up, down) = (line.proxy.counted(Way::Up), line.proxy.counted(Way::Down));
        let cuts = cuts(up, down);
        let mut ends = std::collections::BTreeMap::<Option<i32>, usize>::new();
        for (number, cut) in cuts.iter().enumerate() {
            *ends.entry(run(number, *cut)).or_default() += 1;
        }
        eprintln!(
            "{transport:?} {what}: {up} bytes up, {down} down, {} cuts; exit codes {ends:?}",
            cuts.len()
        );
    }
    assert!(inspect::ops_in_history(line.fleet.hub(), MAIN).values().all(|count| *count == 1));
    inspect::assert_hub_is_sound(line.fleet.hub());
}

#[test]
fn a_connection_over_ssh_can_be_cut_anywhere() {
    cut_everywhere(Transport::Ssh);
}

#[test]
fn a_connection_over_http_can_be_cut_anywhere() {
    cut_everywhere(Transport::Http);
}
