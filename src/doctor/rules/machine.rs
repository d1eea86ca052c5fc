//! Rules about this machine and what this user keeps on it.

use crate::app::journal::is_left_at;
use crate::domain::doctor::{Finding, Judgement, TOLD_MAX, number, size};
use crate::domain::shell::quoted;
use crate::domain::time::{Timestamp, show_span};

/// Less free space than this is soon used up by objects and logs; with less than the second
/// figure, the next fetch may fail.
const FREE_BYTES_LOW: u64 = 1 << 30;
const FREE_BYTES_MIN: u64 = 64 << 20;

/// Fewer free inodes than this are soon used up: each write of a hub makes about four files.
const FREE_INODES_LOW: u64 = 20_000;
const FREE_INODES_MIN: u64 = 500;

/// Judges the program git. `needed`: why the hub is reached through it, if it is.
#[must_use]
pub fn git(
    found: Result<(String, String), String>,
    needed: Option<&str>,
    install: Option<&str>,
) -> Judgement {
    match (found, needed) {
        (Ok((version, path)), _) => Judgement::of(format!("{version} at {path}")),
        (Err(why), needed) => {
            let finding = match needed {
                Some(needed) => Finding::problem(format!("the hub is reached through git: {needed}")),
                None => Finding::warning(
                    "this hub is opened in place and needs no git; any other one, and tidying up, does",
                ),
            };
            Judgement::of(why).and(match install {
                Some(command) => finding.mend(command),
                None => finding,
            })
        }
    }
}

/// One setting that is wrong or contradicts another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// Whether commands refuse to work because of it.
    pub is_fatal: bool,
    /// What it is.
    pub what: String,
    /// What mends it.
    pub mend: Option<String>,
}

/// Judges the settings: `summary` tells the most important ones.
#[must_use]
pub fn settings(summary: &str, doubts: Vec<Doubt>) -> Judgement {
    let finding = |doubt: Doubt| {
        let finding =
            if doubt.is_fatal { Finding::problem(doubt.what) } else { Finding::warning(doubt.what) };
        match doubt.mend {
            Some(command) => finding.mend(command),
            None => finding,
        }
    };
    Judgement::of(summary).with(doubts.into_iter().map(finding))
}

/// What says which server this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named<'a> {
    /// A name, and where it comes from.
    As {
        /// The name.
        name: &'a str,
        /// Where it comes from.
        origin: &'a str,
        /// Under which name and address it makes commits.
        commits_by: &'a str,
    },
    /// Something that is no name.
    Wrongly {
        /// What is wrong with it.
        why: &'a str,
        /// Where it comes from.
        origin: &'a str,
    },
    /// Nothing does.
    Nothing,
}

/// Judges whether it is known which server this is, and whence. A host that only reads needs no
/// name. `join` registers it, where there is a hub to join.
#[must_use]
pub fn identity(named: Named<'_>, host: &str, join: Option<&str>) -> Judgement {
    match named {
        Named::As { name, origin, commits_by } => {
            Judgement::of(format!("server {name} from {origin}, on host {host}; commits are by {commits_by}"))
        }
        Named::Wrongly { why, origin } => {
            Judgement::of(format!("what {origin} says is no name: {why}")).and(Finding::problem(format!(
                "beats, statuses, claims and all other writes are refused until {origin} says another name or none"
            )))
        }
        Named::Nothing => {
            let finding = Finding::warning(
                "beats, statuses, claims and all other writes are refused unless `--server NAME` says whose they are; set MUSTER_SERVER, or register this machine",
            );
            Judgement::of("nothing says which server this is")
                .and(join.map_or(finding.clone(), |join| finding.mend(join)))
        }
    }
}

/// A folder that this user keeps something in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// What it is for: `state`.
    pub what: &'static str,
    /// Where it is.
    pub path: String,
    /// Whether files can be made there.
    pub is_writable: bool,
    /// Why files there cannot be locked, if so.
    pub unlockable: Option<String>,
    /// The kind of a file system that lies elsewhere.
    pub far: Option<&'static str>,
    /// What is lost when it cannot be used.
    pub without: &'static str,
}

/// Judges the folders of this user.
#[must_use]
pub fn folders(folders: &[Folder], sudo: &str) -> Judgement {
    let mut told: Vec<String> =
        folders.iter().map(|folder| format!("{} {}", folder.what, folder.path)).collect();
    told.dedup();
    let not_writable = folders.iter().filter(|folder| !folder.is_writable).map(|folder| {
        Finding::problem(format!(
            "the {} folder {} cannot be written: {}",
            folder.what, folder.path, folder.without
        ))
        .mend(format!("{sudo}install -d -m 700 -o \"$(id -un)\" {}", quoted(&folder.path)))
    });
    let unlockable = folders.iter().filter_map(|folder| {
        let why = folder.unlockable.as_ref()?;
        Some(Finding::problem(format!(
            "files in the {} folder {} cannot be locked: {why}; name one on a local disk by XDG_{}_HOME",
            folder.what,
            folder.path,
            folder.what.to_uppercase()
        )))
    });
    let far = folders.iter().filter_map(|folder| {
        let kind = folder.far?;
        Some(Finding::warning(format!(
            "the {} folder {} is on {kind}, where locks between processes may not hold and other machines may share it; name one on a local disk by XDG_{}_HOME",
            folder.what,
            folder.path,
            folder.what.to_uppercase()
        )))
    });
    Judgement::of(told.join(", ")).with(not_writable).with(unlockable).with(far)
}

/// The room on one disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// What lies there: `cache, state`.
    pub what: String,
    /// A folder on it.
    pub path: String,
    /// Free bytes.
    pub bytes: u64,
    /// Free inodes, where there are such.
    pub inodes: Option<u64>,
}

/// Judges the room on the disks.
#[must_use]
pub fn disk(rooms: &[Room]) -> Judgement {
    let told: Vec<String> = rooms
        .iter()
        .map(|room| {
            let inodes = room.inodes.map_or(String::new(), |inodes| format!(" and {inodes} inodes"));
            format!("{}{inodes} free for {}", size(room.bytes), room.what)
        })
        .collect();
    let findings = rooms.iter().flat_map(|room| {
        let path = quoted(&room.path);
        let few = |what: String, is_out: bool, mend: String| {
            let what = format!("{what} for {} ({})", room.what, room.path);
            if is_out {
                Finding::problem(format!("{what}: writes fail, or soon will")).mend(mend)
            } else {
                Finding::warning(what).mend(mend)
            }
        };
        let bytes = (room.bytes < FREE_BYTES_LOW).then(|| {
            few(
                format!("only {} are free", size(room.bytes)),
                room.bytes < FREE_BYTES_MIN,
                format!("du -xh {path} | sort -h | tail -n 20"),
            )
        });
        let inodes = room.inodes.filter(|inodes| *inodes < FREE_INODES_LOW).map(|inodes| {
            few(
                format!("only {inodes} inodes are free"),
                inodes < FREE_INODES_MIN,
                format!("du -x --inodes {path} | sort -n | tail -n 20"),
            )
        });
        bytes.into_iter().chain(inodes)
    });
    Judgement::of(told.join("; ")).with(findings)
}

/// Judges whether the system says that its clock is set by others. `None`: it does not tell.
#[must_use]
pub fn clock_sync(is_synchronised: Option<bool>, sudo: &str) -> Judgement {
    match is_synchronised {
        None => Judgement::skipped("timedatectl is not here or does not tell"),
        Some(true) => Judgement::of("the system says that its clock is synchronised"),
        Some(false) => Judgement::of("the system says that its clock is not synchronised").and(
            Finding::warning(
                "times in beats, jobs and commits of this host may be wrong, and healthy servers may look stale from here; leases do not depend on it",
            )
            .mend(format!("{sudo}timedatectl set-ntp true")),
        ),
    }
}

/// An operation that was begun and not settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// Its id.
    pub op: String,
    /// When it was begun.
    pub at: Timestamp,
    /// What it does.
    pub verb: String,
    /// Whether a process is at it, where the system tells.
    pub is_under_way: Option<bool>,
    /// Whether it may be made to happen without asking anybody: it is of the hub that is looked at,
    /// and does no harm however late.
    pub is_harmless: bool,
    /// Whether it is one of this hub.
    pub is_here: bool,
}

/// A file among the operations that holds none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// The file.
    pub path: String,
    /// The command that tells whether the hub has the operation, if the name says which it was.
    pub status: Option<String>,
}

/// Judges the operations that were begun; `unreadable` are files that hold none.
#[must_use]
pub fn operations(begun: &[Begun], unreadable: &[Unreadable], now: Timestamp) -> Judgement {
    let is_left = |begun: &&Begun| is_left_at(begun.is_under_way, begun.at, now);
    let (old, young): (Vec<&Begun>, Vec<&Begun>) = begun.iter().partition(is_left);
    let evidence = match (old.first(), young.len()) {
        (None, 0) => "none was left unsettled".to_owned(),
        (None, young) => format!("{} under way", number(young, "operation")),
        (Some(oldest), _) => format!(
            "{} unsettled, the oldest for {}",
            number(old.len(), "operation"),
            show_span(now.since(oldest.at))
        ),
    };
    let rest = old.len().saturating_sub(TOLD_MAX);
    let told = old.iter().take(TOLD_MAX).map(|begun| {
        Finding::warning(format!(
            "{} of {} ago was begun, and nobody knows whether the hub has it",
            begun.verb,
            show_span(now.since(begun.at))
        ))
        // What takes something is perhaps not wanted any more, or of another hub.
        .mend(format!(
            "git muster op {} {}",
            if begun.is_harmless { "resume" } else { "status" },
            begun.op
        ))
    });
    let more = (rest > 0).then(|| Finding::warning(format!("{rest} more")).mend("git muster op list"));
    let harmless = old.iter().filter(|begun| begun.is_harmless).count();
    let all = (harmless > 0).then(|| {
        let what = format!("{harmless} of them may happen now as well, each once, whatever arrived");
        Finding::warning(what).mended_by_fix()
    });
    let others = old.iter().filter(|begun| begun.is_here && !begun.is_harmless).count();
    let looked_up = (others > 0).then(|| {
        let what =
            format!("{others} of them would take something now: settled if it happened, else left to you");
        Finding::warning(what).mended_by_fix()
    });
    let unreadable = unreadable.iter().take(TOLD_MAX).map(|file| {
        let ask = file.status.as_ref().map_or_else(String::new, |status| {
            format!("; `{status}` tells whether the hub has it, then put the file away")
        });
        Finding::warning(format!(
            "{} cannot be read as an operation; it may be from another version{ask}",
            file.path
        ))
        .mend(format!("mv {} {}", quoted(&file.path), quoted(&format!("{}.unreadable", file.path))))
    });
    Judgement::of(evidence).with(told).with(more).with(all).with(looked_up).with(unreadable)
}

/// What killed processes left behind, by kind: how many, how large.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// Each kind with its number and bytes: `temporary file`.
    pub kinds: Vec<(&'static str, usize, u64)>,
    /// Damaged copies that were set aside, and their bytes.
    pub set_aside: (usize, u64),
}

/// Judges what was left behind.
#[must_use]
pub fn leftovers(found: &Leftovers) -> Judgement {
    let (aside, aside_bytes) = found.set_aside;
    let kept = match aside {
        0 => String::new(),
        _ => format!("; {} kept for a look, {}", number(aside, "damaged copy"), size(aside_bytes)),
    };
    let told: Vec<String> = found
        .kinds
        .iter()
        .filter(|(_, count, _)| *count > 0)
        .map(|(what, count, bytes)| format!("{} ({})", number(*count, what), size(*bytes)))
        .collect();
    if told.is_empty() {
        return Judgement::of(format!("nothing was left behind{kept}"));
    }
    Judgement::of(format!("{}{kept}", told.join(", "))).and(
        Finding::warning("killed processes left files that nobody needs; they only take space")
            .mended_by_fix(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::doctor::Mend;
    use crate::domain::doctor::Verdict::{self, Ok as Fine, Problem, Skipped, Warning};

    #[test]
    fn git_must_be_there_where_the_hub_is_reached_through_it() {
        let found = || Ok(("2.47.3".to_owned(), "/usr/bin/git".to_owned()));
        let missing = || Err("not there".to_owned());
        assert_eq!(git(found(), Some("ssh"), None).verdict(), Fine);
        assert_eq!(git(missing(), Some("ssh"), Some("apt-get install git")).verdict(), Problem);
        assert_eq!(git(missing(), None, None).verdict(), Warning);
    }

    #[test]
    fn room_is_judged_by_bytes_and_inodes() {
        let cases: [(u64, Option<u64>, Verdict); 9] = [
            (FREE_BYTES_LOW, Some(FREE_INODES_LOW), Fine),
            (FREE_BYTES_LOW, None, Fine),
            (FREE_BYTES_LOW - 1, None, Warning),
            (FREE_BYTES_MIN, None, Warning),
            (FREE_BYTES_MIN - 1, None, Problem),
            (u64::MAX, Some(FREE_INODES_LOW - 1), Warning),
            (u64::MAX, Some(FREE_INODES_MIN), Warning),
            (u64::MAX, Some(FREE_INODES_MIN - 1), Problem),
            (0, Some(u64::MAX), Problem),
        ];
        for (bytes, inodes, verdict) in cases {
            let room = Room { what: "cache".to_owned(), path: "/c".to_owned(), bytes, inodes };
            assert_eq!(disk(&[room]).verdict(), verdict, "{bytes} {inodes:?}");
        }
    }

    #[test]
    fn a_folder_must_be_writable_and_should_be_near() {
        let folder = |is_writable, far| Folder {
            unlockable: None,
            what: "state",
            path: "/s/git-muster".to_owned(),
            is_writable,
            far,
            without: "op resume cannot work",
        };
        for (writable, far, verdict) in [
            (true, None, Fine),
            (true, Some("NFS"), Warning),
            (false, None, Problem),
            (false, Some("NFS"), Problem),
        ] {
            assert_eq!(folders(&[folder(writable, far)], "").verdict(), verdict);
        }
    }

    #[test]
    fn an_operation_under_way_is_left_alone() {
        let now = Timestamp::parse("2025-10-29T12:00:00Z").expect("time");
        let begun = |at: &str, is_under_way| Begun {
            op: "id".to_owned(),
            at: Timestamp::parse(at).expect("time"),
            verb: "add_jobs".to_owned(),
            is_under_way,
            is_harmless: true,
            is_here: true,
        };
        for (at, is_under_way, verdict, fixable) in [
            ("2025-10-29T11:59:00Z", None, Fine, false),
            ("2025-10-29T11:58:00Z", None, Warning, true),
            ("2025-10-28T11:58:00Z", None, Warning, true),
            ("2025-10-29T11:59:59Z", Some(false), Warning, true),
            ("2025-10-28T11:58:00Z", Some(true), Fine, false),
        ] {
            let judged = operations(&[begun(at, is_under_way)], &[], now);
            assert_eq!((judged.verdict(), judged.is_fixable()), (verdict, fixable), "{at} {is_under_way:?}");
        }
        let many: Vec<Begun> = (0..20).map(|_| begun("2025-10-29T11:00:00Z", None)).collect();
        assert_eq!(operations(&many, &[], now).findings.len(), TOLD_MAX + 2);
        let takes = Begun { is_harmless: false, ..begun("2025-10-29T11:00:00Z", None) };
        let judged = operations(&[takes], &[], now);
        assert_eq!((judged.verdict(), judged.is_fixable()), (Warning, true));
        let of_another = Begun { is_harmless: false, is_here: false, ..begun("2025-10-29T11:00:00Z", None) };
        assert!(!operations(&[of_another], &[], now).is_fixable());
        let told = format!("{:?}", judged.findings);
        assert!(told.contains("git muster op status id"), "{told}");
        let unreadable = Unreadable { path: "/ops/a b.json".to_owned(), status: None };
        let judged = operations(&[], &[unreadable], now);
        let mend = Mend::Run("mv '/ops/a b.json' '/ops/a b.json.unreadable'".to_owned());
        assert_eq!((judged.verdict(), &judged.findings[0].mend), (Warning, &Some(mend)));
    }

    #[test]
    fn the_rest_of_this_machine() {
        assert_eq!(clock_sync(None, "").verdict(), Skipped);
        assert_eq!(clock_sync(Some(true), "").verdict(), Fine);
        assert_eq!(clock_sync(Some(false), "").verdict(), Warning);
        let named = Named::As { name: "build1", origin: "--server", commits_by: "build1 <b@x>" };
        assert_eq!(identity(named, "h", Some("j")).verdict(), Fine);
        assert_eq!(
            identity(Named::Wrongly { why: "w", origin: "SERVER_ID" }, "h", Some("j")).verdict(),
            Problem
        );
        assert_eq!(identity(Named::Nothing, "h", Some("j")).verdict(), Warning);
        for (files, set_aside, told, fixable) in [
            (0, (0, 0), "nothing was left behind", false),
            // A damaged copy is kept on purpose.
            (0, (1, 4096), "nothing was left behind; 1 damaged copy kept for a look, 4 KiB", false),
            (2, (0, 0), "2 temporary files (10 bytes)", true),
        ] {
            let judged = leftovers(&Leftovers { kinds: vec![("temporary file", files, 10)], set_aside });
            assert_eq!((judged.evidence.as_str(), judged.is_fixable()), (told, fixable));
        }
        let doubt = |is_fatal| Doubt { is_fatal, what: "x".to_owned(), mend: None };
        assert_eq!(settings("", vec![]).verdict(), Fine);
        assert_eq!(settings("", vec![doubt(false)]).verdict(), Warning);
        assert_eq!(settings("", vec![doubt(true), doubt(false)]).verdict(), Problem);
    }
}
