//! Every write under every single fault, with real git.
//!
//! A case is one write and one fault: the process is killed at one of the places it passes, or the
//! hub does one thing to the push. Then the fault is gone, what is unsettled is settled as the
//! program says, and the command is given again. What has to come of it is not written down for
//! each case: the same command was run in the same world without a fault, once and twice, and the
//! hub has to be where it was after one of these runs, with the same exit code. In the history the
//! operation stands once if it was acknowledged, not at all if it was refused, at most once if
//! nobody knows; the next command works; and nobody repairs anything.
//!
//! The cases come out of the table of writes, the table of what a hub does, and the fail points
//! that each write is seen to pass. What a fault meets is the path of a write through journal, commit
//! and push, and most writes take the same: by default the first write of each path that is seen meets
//! all faults, and the others those that are their own ([`OWN`]); over ssh and http two writes do.
//! `MUSTER_SWEEP=full` runs all of them everywhere, `here` those of pushes on this disk and in process.
//! `MUSTER_SWEEP_ONLY=words` runs those whose names hold the words.

mod faults;
mod ops;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use crate::support::inspect;
use faults::{Arrives, HUB_FAULTS, HubFault, Said};
use ops::{FEW, OPS, Op, SHOWN, Template, UNSENT, Way};

/// Cases that run at the same time: most of a case is waiting for processes.
const CASES_TOGETHER: usize = 6;

/// What comes out of a write itself, whatever path it takes: it is applied again after it did not
/// arrive, known to have arrived, refused, and applied to what another wrote meanwhile.
const OWN: [&str; 4] = ["killed at commit:1", "killed at push:1", "refused", "overtaken"];

/// Documents by branch and path.
type Documents = BTreeMap<String, String>;

/// What a write does when nothing goes wrong.
#[derive(Debug)]
struct Usual {
    /// The operations that were in the hub before.
    old: BTreeMap<(String, String), usize>,
    before: Documents,
    /// Exit code and documents after the first time, and after the second.
    once: (Option<i32>, Documents),
    twice: (Option<i32>, Documents),
    /// Whether it moves the main branch.
    moves_main: bool,
    /// The fail points it passed, with the count of each.
    passed: Vec<(String, usize)>,
}

impl Usual {
    fn of(op: Op, template: &Template) -> Self {
        let world = template.copy();
        let hub = world.fleet.hub();
        let (old, before) = (world::operations(hub), world::documents(hub));
        let command = op.command(&world.ids);
        let log = world.ada.place("HOME").join("passed");
        let first = world.ada.command(&command).env("MUSTER_FAILPOINT_LOG", &log).run();
        let once = (first.exit_code(), world::documents(hub));
        let moved = world::operations(hub);
        let moves_main = moved.keys().any(|key| world::is_main(&key.1) && !old.contains_key(key));
        assert!(once.1 != before, "{}: a write that changes nothing proves nothing", op.name());
        let second = world.ada.run(&command);
        let twice = (second.exit_code(), world::documents(hub));
        let mut counts = BTreeMap::new();
        let log = fs::read_to_string(log).unwrap_or_default();
        let passed = log.lines().map(|point| {
            let count: &mut usize = counts.entry(point.to_owned()).or_default();
            *count += 1;
            (point.to_owned(), *count)
        });
        Self { old, before, once, twice, moves_main, passed: passed.collect() }
    }

    /// What two branches hold when only the one has moved that is not the main branch.
    fn half_done(&self) -> Documents {
        let is_main = |name: &str| name.split_once(':').is_some_and(|(branch, _)| world::is_main(branch));
        let main = self.before.iter().filter(|(name, _)| is_main(name));
        let others = self.once.1.iter().filter(|(name, _)| !is_main(name));
        main.chain(others).map(|(name, text)| (name.clone(), text.clone())).collect()
    }

    /// What faults meet: the steps of the write, in order, and what it moves.
    fn path(&self) -> (&[(String, usize)], bool) {
        (&self.passed, self.moves_main)
    }

    /// Whether the command writes more than once.
    fn asks_twice(&self) -> bool {
        self.passed.iter().any(|(point, count)| point == "closed" && *count > 1)
    }
}

/// What goes wrong in a case.
#[derive(Debug)]
enum Fault {
    /// The process is killed when it passes a place for the n-th time.
    Killed(String, usize),
    Hub(HubFault),
}

impl Fault {
    fn name(&self) -> String {
        match self {
            Self::Killed(point, count) => format!("killed at {point}:{count}"),
            Self::Hub(fault) => fault.name.to_owned(),
        }
    }
}

/// A write and a fault.
#[derive(Debug)]
struct Case<'a> {
    template: &'a Template,
    op: Op,
    usual: &'a Usual,
    fault: Fault,
}

impl Case<'_> {
    fn name(&self) -> String {
        format!("{:?}: {}: {}", self.template.way, self.op.name(), self.fault.name())
    }

    fn run(&self) {
        let world = self.template.copy();
        self.break_it(&world);
        let has_it = self.settle(&world);
        self.repeat(&world, has_it);
        world.ada.run(["message", "send", "--to", "all", "--subject", "next"]).success();
        world::assert_sound(world.fleet.hub());
        if world.ada.directory().join(".git").exists() {
            inspect::assert_clone_is_clean(world.ada.directory());
        }
    }

    /// Runs the command under the fault.
    fn break_it(&self, world: &Template) {
        let command = world.ada.command(self.op.command(&world.ids));
        let (run, said) = match &self.fault {
            Fault::Killed(point, count) => {
                (command.env("MUSTER_FAILPOINT", format!("{point}:{count}")).run(), Said::Nothing)
            }
            Fault::Hub(fault) => {
                let environment = fault.set(world);
                let run =
                    environment.into_iter().fold(command, |command, (name, value)| command.env(name, value));
                let run = run.run();
                fault.lift(world);
                (run, fault.said(world.way))
            }
        };
        said.check(&run, self.usual.once.0);
        if let Fault::Hub(fault) = &self.fault {
            assert_eq!(self.has_it(world), fault.has_it, "whether the hub has it\n{run}");
        }
    }

    /// Whether the hub has the operation; it never has it twice. Where it moves the main branch as well
    /// as others, the main branch tells.
    fn has_it(&self, world: &Template) -> bool {
        if self.op.is_squash() {
            return world::squashed(world.fleet.hub());
        }
        let mut new = world::operations(world.fleet.hub());
        new.retain(|op, _| !self.usual.old.contains_key(op));
        assert!(new.values().all(|count| *count == 1), "it happened more than once: {new:?}");
        let ops: BTreeSet<&String> = new.keys().map(|(op, _)| op).collect();
        assert!(ops.len() <= 1, "one command, one operation: {new:?}");
        new.keys().any(|(_, branch)| self.tells(branch))
    }

    /// Whether what a branch holds tells that the operation happened.
    fn tells(&self, branch: &str) -> bool {
        !self.usual.moves_main || world::is_main(branch)
    }

    /// Whether the process is killed between the moves of two branches: the others have moved, the main
    /// branch has not.
    fn is_half_done(&self) -> bool {
        let moved = |point: &str| self.usual.passed.iter().filter(|(passed, _)| point == passed).count();
        let together = moved("refs-locked");
        let is_two = moved("ref-moved") > together;
        is_two && matches!(&self.fault, Fault::Killed(point, 1) if point == "ref-moved")
    }

    /// Settles what the host does not know the end of, as the program says; whether the hub has the
    /// operation now.
    fn settle(&self, world: &Template) -> bool {
        let arrives = match &self.fault {
            Fault::Hub(fault) => fault.arrives,
            Fault::Killed(..) => Arrives::InTime,
        };
        if let (Fault::Hub(fault), Arrives::BeforeItIsSettled) = (&self.fault, arrives) {
            fault.let_arrive(world);
            assert!(self.has_it(world), "what was held back has arrived");
        }
        for (op, verb) in world::unsettled(&world.ada) {
            assert_eq!(Some(verb), self.op.verb.map(snake_case), "what is kept is this operation");
            let ops = world::operations(world.fleet.hub());
            let happened = ops.keys().any(|(id, branch)| *id == op && self.tells(branch));
            world.ada.run(["op", "status", &op]).code(if happened { 0 } else { 3 });
            // A beat that did not arrive is not worth being repeated.
            if !happened && !world::unsettled(&world.ada).is_empty() {
                let resumed = world.ada.run(["op", "resume", &op]);
                // Who takes something over is told no first, and asks again with what it has watched.
                if !(self.usual.asks_twice() && resumed.exit_code() == Some(4)) {
                    drop(resumed.success());
                }
            }
        }
        assert_eq!(world::unsettled(&world.ada), [], "everything is settled");
        let has_it = self.has_it(world);
        let expected = if has_it { &self.usual.once.1 } else { &self.usual.before };
        if self.is_half_done() && !has_it {
            let expected = self.usual.half_done();
            assert_documents(world, &expected, "with the main branch as it was and the others moved");
        } else {
            assert_documents(world, expected, "after it was settled");
        }
        has_it
    }

    /// Gives the command again: it does what it does the first time or the second time.
    fn repeat(&self, world: &Template, has_it: bool) {
        let usual = if has_it { &self.usual.twice } else { &self.usual.once };
        let run = world.ada.run(self.op.command(&world.ids));
        if run.exit_code() != usual.0 {
            run.fail(&format!("given again, exit status {:?} was expected", usual.0));
        }
        assert_documents(world, &usual.1, "after it was given again");
        if let Fault::Hub(fault @ HubFault { arrives: Arrives::AfterItIsSettled, .. }) = &self.fault {
            fault.let_arrive(world);
            assert_documents(world, &usual.1, "after a push that came too late");
        }
        let ops = world::operations(world.fleet.hub());
        assert!(ops.values().all(|count| *count == 1), "{ops:?}");
    }
}

#[track_caller]
fn assert_documents(world: &Template, expected: &Documents, when: &str) {
    let found = world::documents(world.fleet.hub());
    assert!(found == *expected, "the documents {when}\n{}", world::difference(&found, expected));
}

/// `AddJobs` as it is written into a kept operation.
fn snake_case(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.extend(letter.to_lowercase());
    }
    text
}

/// Whether all cases of a way to the hub are asked for, or words of some of all.
fn is_full(way: Way) -> bool {
    let is_here = matches!(way, Way::Pushed | Way::Direct);
    let asked = std::env::var("MUSTER_SWEEP");
    asked.is_ok_and(|what| what == "full" || (what == "here" && is_here)) || only().is_some()
}

fn only() -> Option<String> {
    std::env::var("MUSTER_SWEEP_ONLY").ok()
}

/// The faults that a write meets by default: all, if no write before it took its path.
fn by_default(usual: &Usual, before: &[Usual], fault: &Fault) -> bool {
    before.iter().all(|other| other.path() != usual.path()) || OWN.contains(&fault.name().as_str())
}

/// Runs the cases of all writes, or by default of `some`, several at the same time, and fails with
/// all that failed.
fn sweep(way: Way, some: &[Op], wanted: impl Fn(&Fault) -> bool) {
    let start = Instant::now();
    let ops: Vec<Op> =
        if is_full(way) { OPS } else { some }.iter().copied().filter(|op| op.fits(way)).collect();
    let template = Template::new(way);
    let usual_of_all = together(&ops, |op| Usual::of(*op, &template));
    let mut cases = Vec::new();
    for (number, (op, usual)) in ops.iter().zip(&usual_of_all).enumerate() {
        let before = &usual_of_all[..number];
        let killed = usual.passed.iter().map(|(point, count)| Fault::Killed(point.clone(), *count));
        let by_hub = HUB_FAULTS.iter().filter(|fault| fault.fits(way)).map(|fault| Fault::Hub(*fault));
        let wanted = |fault: &Fault| wanted(fault) && by_default(usual, before, fault);
        let faults = killed.chain(by_hub).filter(|fault| is_full(way) || wanted(fault));
        cases.extend(faults.map(|fault| Case { template: &template, op: *op, usual, fault }));
    }
    if let Some(words) = only() {
        cases.retain(|case| case.name().contains(&words));
        assert!(!cases.is_empty(), "no case of {way:?} has `{words}` in its name");
    }
    let failed: Vec<String> = together(&cases, |case| {
        let failed = catch_unwind(AssertUnwindSafe(|| case.run())).is_err();
        if failed {
            eprintln!("failed: {}", case.name());
        }
        failed.then(|| case.name())
    })
    .into_iter()
    .flatten()
    .collect();
    if is_full(way) || some.len() == OPS.len() {
        assert_every_point_was_passed(way, &usual_of_all);
    }
    let seconds = start.elapsed().as_secs_f64();
    eprintln!(
        "{way:?}: {} writes, {} cases, {} failed, {seconds:.1} s",
        ops.len(),
        cases.len(),
        failed.len()
    );
    assert!(failed.is_empty(), "{} of {} cases failed:\n{}", failed.len(), cases.len(), failed.join("\n"));
}

/// A fail point that no write passes is one that no case is made of.
fn assert_every_point_was_passed(way: Way, usual: &[Usual]) {
    let passed: BTreeSet<String> =
        usual.iter().flat_map(|usual| usual.passed.iter().map(|(point, _)| point.clone())).collect();
    let expected = fail_points().into_iter().filter(|point| way.passes(point)).collect::<BTreeSet<_>>();
    assert_eq!(passed, expected, "the fail points of {way:?}");
}

/// Does `work` for each of `items`, several at the same time; the results in order.
fn together<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..CASES_TOGETHER {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::SeqCst);
                    let Some(item) = items.get(index) else { return };
                    let result = work(item);
                    results.lock().unwrap().insert(index, result);
                }
            });
        }
    });
    results.into_inner().unwrap().into_values().collect()
}

/// The lines of a source file that name a fail point, without its tests.
fn fail_points() -> BTreeSet<String> {
    let mut points = BTreeSet::new();
    for (_, text) in crate::tidy::sources() {
        let calls = text.split("failpoint(\"").skip(1).filter_map(|rest| rest.split('"').next());
        // Those of a worker's jobs are for tests of workers: no write passes them.
        points.extend(calls.filter(|point| !point.starts_with("job-")).map(str::to_owned));
    }
    points
}

#[test]
fn every_operation_is_swept() {
    let source = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/app/commands/mod.rs")).unwrap();
    let (_, list) = source.split_once("operations! {\n").unwrap();
    let (list, _) = list.split_once("\n}").unwrap();
    let variants: BTreeSet<&str> = list.lines().filter_map(|line| line.trim().split('(').next()).collect();
    let swept = OPS.iter().filter_map(|op| op.verb).chain(UNSENT.iter().map(|(verb, _)| *verb));
    assert_eq!(swept.collect::<BTreeSet<_>>(), variants);
}

#[cfg(debug_assertions)]
#[test]
fn by_push_on_this_disk() {
    sweep(Way::Pushed, OPS, |_| true);
}

#[cfg(debug_assertions)]
#[test]
fn in_process() {
    sweep(Way::Direct, OPS, |_| true);
}

#[cfg(debug_assertions)]
#[test]
fn in_a_clone() {
    sweep(Way::PushedClone, SHOWN, |_| true);
    sweep(Way::DirectClone, SHOWN, |_| true);
}

/// What differs behind a server: what the hub does to a push, and the steps beside it.
#[cfg(debug_assertions)]
fn behind_a_server(way: Way) {
    if !way.transport().is_here() {
        return;
    }
    sweep(way, FEW, |fault| match fault {
        Fault::Hub(_) => true,
        Fault::Killed(point, _) => ["copy", "fetched", "answer"].contains(&point.as_str()),
    });
}

#[cfg(debug_assertions)]
#[test]
fn over_ssh() {
    behind_a_server(Way::Ssh);
}

#[cfg(debug_assertions)]
#[test]
fn over_http() {
    behind_a_server(Way::Http);
}
