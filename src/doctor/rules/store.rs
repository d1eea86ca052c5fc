//! Rules about repositories of this machine: hooks, settings, rights, lock files, size.

use crate::domain::doctor::{Finding, Judgement, TOLD_MAX, number, size};
use crate::domain::shell::quoted;
use crate::domain::time::show_span;
use crate::git::Hook;
use std::time::Duration;

/// A lock file that is older than this belongs to nobody: a move of a ref takes milliseconds, a
/// rewriting of all packs minutes.
pub const LOCK_STALE_AFTER: Duration = Duration::from_secs(15 * 60);

/// With more objects in files of their own than this, every command opens many folders. git tidies
/// at 6,700 by itself.
const LOOSE_MANY: usize = 10_000;

/// With more packs than this every look for an object is slow. git joins them at 50 by itself.
const PACKS_MANY: usize = 100;

/// A hub of documents is some megabytes; one beyond this has taken in something else.
const BYTES_MANY: u64 = 2 << 30;

/// Which repository: `hub`, `copy`, `clone`, and where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// What it is to us.
    pub what: &'static str,
    /// Where it lies.
    pub path: String,
}

impl Place {
    fn told(&self) -> String {
        format!("the {} {}", self.what, self.path)
    }
}

/// Judges the hooks of a hub on this machine and those in the clone that our fetches run.
#[must_use]
pub fn hooks(of_hub: Option<&[Hook]>, of_clone: &[Hook]) -> Judgement {
    let names = |hooks: &[Hook]| hooks.iter().map(|hook| hook.name).collect::<Vec<_>>().join(", ");
    let hub = match of_hub {
        None => "those of a hub over a connection cannot be seen".to_owned(),
        Some([]) => "the hub has none".to_owned(),
        Some(hooks) => format!("the hub has {}, so every write goes through git push", names(hooks)),
    };
    let clone =
        if of_clone.is_empty() { String::new() } else { format!("; the clone has {}", names(of_clone)) };
    let idle = of_hub.unwrap_or_default().iter().filter(|hook| !hook.is_executable).map(|hook| {
        Finding::warning(format!("{} of the hub is not executable, so git does not run it", hook.name))
            .mend(format!("chmod +x {}", quoted(&hook.path)))
    });
    let in_clone = of_clone.iter().map(|hook| {
        let what = match hook.name {
            "pre-push" => "pre-push of the clone does not run on the pushes of git-muster, which pass over it",
            _ => "reference-transaction of the clone runs when a command brings it up to date, and one that says no stops it",
        };
        Finding::warning(what)
    });
    Judgement::of(format!("{hub}{clone}")).with(idle).with(in_clone)
}

/// What the configuration of a hub on this machine says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Protection {
    /// No history may be replaced.
    pub denies_replacing: bool,
    /// No branch may be deleted.
    pub denies_deleting: bool,
    /// Several branches cannot be moved together.
    pub lacks_atomic: bool,
    /// Refs that are hidden from whoever pushes or fetches.
    pub hides: Vec<String>,
    /// Whether commands on this machine go through git push, and so meet all this too.
    pub is_met_here: bool,
}

/// Judges what a hub at `path` forbids.
#[must_use]
pub fn protection(path: &str, rules: &Protection) -> Judgement {
    let config = |key: &str, value: &str| format!("git -C {} config {key} {value}", quoted(path));
    let mut told = Vec::new();
    let mut findings = Vec::new();
    let whom = if rules.is_met_here { "" } else { " that come over a connection" };
    if rules.denies_replacing {
        told.push("receive.denyNonFastForwards");
        findings.push(
            Finding::warning(format!(
                "heartbeat branches{whom} cannot be replaced and grow by a commit with each beat, and heartbeat squash is refused"
            ))
            .mend(config("receive.denyNonFastForwards", "false")),
        );
    }
    if rules.denies_deleting {
        // Nothing here ever deletes a branch.
        told.push("receive.denyDeletes (which hinders nothing)");
    }
    if rules.lacks_atomic {
        told.push("receive.advertiseAtomic=false");
        findings.push(
            Finding::problem(format!(
                "writes{whom} that move two branches together are refused: no job of a lost server can be taken back"
            ))
            .mend(config("receive.advertiseAtomic", "true")),
        );
    }
    if let Some(hidden) = rules.hides.iter().find(|refs| hides_ours(refs)) {
        told.push("hidden refs");
        findings.push(Finding::problem(format!("the hub hides {hidden}, where its documents or beats lie")));
    }
    let told =
        if told.is_empty() { "the hub's configuration forbids nothing".to_owned() } else { told.join(", ") };
    Judgement::of(told).with(findings)
}

fn hides_ours(refs: &str) -> bool {
    refs == "refs" || refs.starts_with("refs/heads")
}

/// Judges whether this user may write a hub that is opened in place.
#[must_use]
pub fn writable(path: &str, unwritable: &[String], sudo: &str) -> Judgement {
    let Some(first) = unwritable.first() else {
        return Judgement::of("this user may write objects and refs");
    };
    Judgement::of(format!("{} cannot be written by this user, such as {first}", number(unwritable.len(), "folder"))).and(
        Finding::problem("reading works and every write fails; its owner has to let this user in").mend(format!(
            "{sudo}chgrp -R \"$(id -gn)\" {0} && {sudo}chmod -R ug+rwX {0} && {sudo}git --git-dir={0} config core.sharedRepository group",
            quoted(path)
        )),
    )
}

/// A lock file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockFile {
    /// Whose repository it is in.
    pub what: &'static str,
    /// Where it lies.
    pub path: String,
    /// How long it has been there.
    pub age: Duration,
    /// Whether it lies in our own copy and no process holds it.
    pub is_ours: bool,
    /// The process that may hold it, if one is seen.
    pub user: Option<String>,
    /// The folder in which git programs work that use the repository; `None` in a clone, where people are
    /// at work as well.
    pub folder: Option<String>,
}

/// Judges lock files in `looked_at` repositories of a machine that may have no `fuser`.
#[must_use]
pub fn stale_locks(looked_at: &[Place], locks: &[LockFile], sudo: &str, has_fuser: bool) -> Judgement {
    let (old, young): (Vec<&LockFile>, Vec<&LockFile>) =
        locks.iter().partition(|lock| lock.age >= LOCK_STALE_AFTER);
    let where_: Vec<&str> = looked_at.iter().map(|place| place.what).collect();
    let evidence = match (old.len(), young.len()) {
        (0, 0) => format!("none in {}", where_.join(", ")),
        (0, young) => {
            format!("{} in use, none older than {}", number(young, "lock file"), show_span(LOCK_STALE_AFTER))
        }
        (old, _) => format!("{} older than {}", number(old, "lock file"), show_span(LOCK_STALE_AFTER)),
    };
    let told = old.iter().take(TOLD_MAX).map(|lock| {
        if let Some(user) = &lock.user {
            let (path, what, age) = (&lock.path, lock.what, show_span(lock.age));
            return Finding::problem(format!(
                "{path} in the {what} is {age} old and held by {user}: who wants to change what it locks waits or fails until that process has ended"
            ));
        }
        let what = format!(
            "{} in the {} is {} old: left by a killed process, and who wants to change what it locks waits or fails{}",
            lock.path,
            lock.what,
            show_span(lock.age),
            if lock.what == "clone" { "; close the editor of a commit first, if one is open" } else { "" }
        );
        let path = quoted(&lock.path);
        if lock.is_ours {
            Finding::problem(what).mended_by_fix()
        } else {
            // 1: no process has it open or works there: git closes a lock before it puts it in place.
            // Anything else is no answer to that question, as 127 is none where `fuser` is not there.
            let first = if has_fuser { "" } else { "; the command needs `fuser`: install the package psmisc first" };
            let what = format!("{what}{first}");
            let folder = lock.folder.as_deref().map_or_else(String::new, |folder| format!(" {}", quoted(folder)));
            Finding::problem(what).mend(format!("{sudo}fuser -s {path}{folder}; [ $? -eq 1 ] && rm {path}"))
        }
    });
    let rest = old.len().saturating_sub(TOLD_MAX);
    let more = (rest > 0).then(|| Finding::problem(format!("{rest} more of this kind")));
    Judgement::of(evidence).with(told).with(more)
}

/// How much a repository holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Which.
    pub place: Place,
    /// Objects in files of their own.
    pub loose: usize,
    /// Their bytes.
    pub loose_bytes: u64,
    /// Packs.
    pub packs: usize,
    /// Their bytes.
    pub pack_bytes: u64,
}

/// Judges the size of repositories.
#[must_use]
pub fn repository_size(held: &[Held]) -> Judgement {
    let told: Vec<String> = held
        .iter()
        .map(|held| {
            format!(
                "{}: {} ({}), {} ({})",
                held.place.what,
                number(held.loose, "loose object"),
                size(held.loose_bytes),
                number(held.packs, "pack"),
                size(held.pack_bytes)
            )
        })
        .collect();
    let findings = held.iter().flat_map(|held| {
        let gc = format!("git -C {} gc", quoted(&held.place.path));
        let slow = (held.loose > LOOSE_MANY || held.packs > PACKS_MANY).then(|| {
            Finding::warning(format!(
                "{} is untidy, and every command there is slower for it",
                held.place.told()
            ))
            .mend(gc.clone())
        });
        let large = (held.loose_bytes + held.pack_bytes > BYTES_MANY).then(|| {
            Finding::warning(format!(
                "{} holds {}, far more than documents need; see what the large objects are after tidying",
                held.place.told(),
                size(held.loose_bytes + held.pack_bytes)
            ))
            .mend(gc)
        });
        slow.into_iter().chain(large)
    });
    Judgement::of(told.join("; ")).with(findings)
}

/// How a copy of the hub is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Copy {
    /// There is none yet.
    None,
    /// So many branches and documents were read.
    Sound(usize, usize),
    /// The same, and it has commits that the hub lacks: the line that keeps them under another name.
    Ahead(usize, usize, String),
    /// It is damaged, or of another hub.
    Damaged(String),
}

/// What is said of a clone whose index is kept in a form that cannot be read here.
#[must_use]
pub fn odd_index(kind: &str, mend: String) -> Finding {
    Finding::warning(format!("the index of the clone is {kind}: its files are not brought up to date"))
        .mend(mend)
}

/// Judges our copy of the hub, or the clone that takes its place; `refetch` mends a clone.
#[must_use]
pub fn copy(place: &Place, found: &Copy, refetch: &str) -> Judgement {
    match found {
        Copy::None => {
            Judgement::skipped(format!("there is none at {} yet; the next command makes it", place.path))
        }
        Copy::Sound(0, _) => Judgement::of(format!("{} is empty; the next command fetches", place.told())),
        Copy::Sound(branches, documents) => Judgement::of(format!(
            "{}: the newest documents of {} are sound ({} read, and nothing older)",
            place.told(),
            number(*branches, "branch"),
            number(*documents, "document")
        )),
        Copy::Ahead(branches, documents, set_aside) => {
            copy(place, &Copy::Sound(*branches, *documents), refetch).and(
                Finding::warning("its branch has commits that the hub does not have, so it does not follow; push what the hub is to have, or keep them under another name")
                    .mend(set_aside),
            )
        }
        Copy::Damaged(why) => {
            let judgement = Judgement::of(format!("{}: {why}", place.told()));
            if place.what == "clone" {
                judgement.and(
                    Finding::problem("commands in this clone fail; what it lacks can be fetched again, or if git can no longer do that, cloned beside it")
                        .mend(refetch),
                )
            } else {
                judgement.and(
                    Finding::problem("the next command that notices puts it aside and fetches a new one")
                        .mended_by_fix(),
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::doctor::Verdict::{Ok as Fine, Problem, Skipped, Warning};

    fn place(what: &'static str) -> Place {
        Place { what, path: "/srv/hub.git".to_owned() }
    }

    #[test]
    fn hooks_are_told_and_idle_ones_pointed_at() {
        let hook = |name, is_executable| Hook { name, path: "/h/x".to_owned(), is_executable };
        assert_eq!(hooks(None, &[]).verdict(), Fine);
        assert_eq!(hooks(Some(&[]), &[]).verdict(), Fine);
        assert_eq!(hooks(Some(&[hook("update", true)]), &[]).verdict(), Fine);
        assert_eq!(hooks(Some(&[hook("update", false)]), &[]).verdict(), Warning);
        for (name, told) in
            [("pre-push", "does not run"), ("reference-transaction", "one that says no stops")]
        {
            let judged = hooks(Some(&[]), &[hook(name, true)]);
            assert_eq!(judged.verdict(), Warning);
            assert!(judged.findings[0].what.contains(told), "{judged:?}");
        }
    }

    #[test]
    fn what_a_hub_forbids_is_judged_by_what_follows() {
        let none = Protection::default();
        for (rules, verdict) in [
            (none.clone(), Fine),
            (Protection { denies_deleting: true, ..none.clone() }, Fine),
            (Protection { denies_replacing: true, ..none.clone() }, Warning),
            (Protection { lacks_atomic: true, ..none.clone() }, Problem),
            (Protection { hides: vec!["refs/changes".to_owned()], ..none.clone() }, Fine),
            (
                Protection {
                    hides: vec!["refs/changes".to_owned(), "refs/heads/heartbeat-x".to_owned()],
                    ..none
                },
                Problem,
            ),
        ] {
            assert_eq!(protection("/srv/hub.git", &rules).verdict(), verdict, "{rules:?}");
        }
        assert_eq!(writable("/srv/hub.git", &[], "").verdict(), Fine);
        assert_eq!(writable("/srv/hub.git", &["refs".to_owned()], "").verdict(), Problem);
    }

    #[test]
    fn a_lock_file_is_stale_when_it_is_older_than_any_work() {
        let lock = |age, is_ours| LockFile {
            what: "hub",
            path: "/srv/hub.git/packed-refs.lock".to_owned(),
            age,
            is_ours,
            user: None,
            folder: Some("/srv/hub.git".to_owned()),
        };
        let old = Duration::from_secs(900);
        // Who holds it is told, and nobody is told to remove it.
        let held = LockFile { user: Some("`git`, process 7".to_owned()), ..lock(old, false) };
        let judged = stale_locks(&[place("hub")], std::slice::from_ref(&held), "", true);
        let told = format!("{:?}", judged.findings);
        assert!(told.contains("held by `git`, process 7") && !told.contains("rm "), "{told}");
        for has_fuser in [true, false] {
            let judged = stale_locks(&[place("hub")], &[lock(old, false)], "", has_fuser);
            let told = format!("{:?}", judged.findings);
            assert_eq!(told.contains("install the package psmisc first"), !has_fuser, "{told}");
        }
        for (locks, verdict, fixable) in [
            (vec![], Fine, false),
            (vec![lock(old - Duration::from_secs(1), false)], Fine, false),
            (vec![lock(old, false)], Problem, false),
            (vec![lock(old, true)], Problem, true),
        ] {
            let judged = stale_locks(&[place("hub")], &locks, "", true);
            assert_eq!((judged.verdict(), judged.is_fixable()), (verdict, fixable), "{locks:?}");
        }
        for (locks, findings) in [(1, 1), (TOLD_MAX, TOLD_MAX), (TOLD_MAX + 1, TOLD_MAX + 1)] {
            let locks: Vec<LockFile> = (0..locks).map(|_| lock(old, true)).collect();
            assert_eq!(stale_locks(&[place("hub")], &locks, "", true).findings.len(), findings);
        }
    }

    #[test]
    fn a_repository_is_judged_by_how_it_is_kept() {
        let held =
            |loose, packs, pack_bytes| Held { place: place("hub"), loose, loose_bytes: 0, packs, pack_bytes };
        for (held, verdict) in [
            (held(LOOSE_MANY, PACKS_MANY, BYTES_MANY), Fine),
            (held(0, 1, 1 << 30), Fine),
            (held(LOOSE_MANY + 1, 0, 0), Warning),
            (held(0, PACKS_MANY + 1, 0), Warning),
            (held(0, 1, BYTES_MANY + 1), Warning),
        ] {
            assert_eq!(repository_size(&[held]).verdict(), verdict);
        }
    }

    #[test]
    fn our_copy_is_replaced_and_a_clone_is_not() {
        for (what, found, verdict, fixable) in [
            ("copy", Copy::None, Skipped, false),
            ("copy", Copy::Sound(2, 20), Fine, false),
            ("copy", Copy::Damaged("x".to_owned()), Problem, true),
            ("clone", Copy::Damaged("x".to_owned()), Problem, false),
        ] {
            let judged = copy(&place(what), &found, "git fetch --refetch");
            let where_it_lies = format!("the {what} /srv/hub.git");
            assert!(found == Copy::None || judged.evidence.contains(&where_it_lies), "{judged:?}");
            assert_eq!((judged.verdict(), judged.is_fixable()), (verdict, fixable), "{what} {found:?}");
        }
    }
}
