//! Turns what the `git` program printed into a typed verdict.
//!
//! Every write of the ledger ends in one `git push --porcelain --force-with-lease=…`, and what the
//! ledger does next depends on a single question: is our commit in the hub, is it certainly not, or
//! can nobody tell from here? This file answers it from exit code, stdout and stderr (`LC_ALL=C`).
//!
//! The knowledge is in tables of phrases: what became of it here, why in `causes.rs`. Each phrase was
//! recorded from a real run or is documented by a forge; the outputs are in `tests/recordings/`, and
//! a test checks each of them. To teach it something new, add the recording first.
//!
//! It must not spawn, read or write anything, and must not guess: a push that the hub may have
//! received without an answer for its refs is [`Publication::Unknown`], never a failure.

mod causes;
#[cfg(test)]
mod tests;
mod words;

use super::lost_object::named_in;
use crate::ledger::{Cause, Publication, Reason, StoreCause, Voice};
use causes::{
    GitAction, http_refusal, never_connected, not_connected, own_line, own_words, rejected, turned_away,
};
pub(super) use words::without_passwords;
use words::{explain, headline, last_words, one_line, remote_lines};

/// What one `git fetch` run tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FetchVerdict {
    /// The branches are here.
    Fetched,
    /// A branch asked for is not in the hub, or the hub is empty.
    MissingBranch,
    /// The hub was not reached or the connection was cut; trying again may help.
    Unreachable(Reason),
    /// The hub refused us, or there is no such repository.
    Denied(Reason),
    /// An object database is damaged, most likely our own cache: set it aside and fetch afresh,
    /// once. Over ssh or a path git words a damaged hub in the same way, so a second time it is the
    /// hub.
    BrokenCache(String),
    /// The hub says that it cannot read an object of its own, and which, where it names one.
    HubDamaged(String, Option<String>),
    /// Anything else.
    Failed(String),
}

/// Client-side `[rejected]` reasons of a lost race (transport.c of git 2.39 and 2.47).
#[rustfmt::skip]
const CLIENT_STALE: &[&str] = &[
    "stale info", "fetch first", "non-fast-forward", "needs force", "already exists",
    "remote ref updated since checkout",
];

/// Reasons of the innocent refs of an atomic push: client (`failed`), receive-pack (`failure`),
/// `JGit`.
#[rustfmt::skip]
const ATOMIC_CONSEQUENCE: &[&str] = &[
    "atomic push failed", "atomic push failure", "transaction aborted",
];

/// Phrases of the hub that mean "not done, for good", looked for before the two tables below
/// because they share words with them: a name that is a directory of another ref, a read-only or
/// full disk.
#[rustfmt::skip]
const REFUSED_FOR_GOOD: &[&str] = &[
    "exists; cannot create", "refname conflict", "reference broken", "permission denied",
    "insufficient permission", "read-only file system", "no space left on device",
    "disk quota exceeded",
];

/// Phrases of a lock held in the hub (receive-pack 2.39 and 2.47).
const BUSY_REASONS: &[&str] = &[".lock': file exists", "lock file exists"];

/// Phrases of a race lost in the hub: receive-pack (`but expected`, `reference already exists`),
/// git 2.50 and GitLab (`incorrect old value provided`), GitHub (`cannot lock ref`), Azure DevOps
/// (`another client`).
#[rustfmt::skip]
const STALE_REASONS: &[&str] = &[
    "but expected", "reference already exists", "reference does not exist", "reference is missing",
    "incorrect old value provided", "already been updated by another client",
    "unable to resolve reference", "cannot lock ref",
];

/// Reasons that leave the cause to a `remote:` line; without one the ref counts as busy
/// (receive-pack; `failed to lock` is git 1.x and, with no further words, Gerrit's `LOCK_FAILURE`).
#[rustfmt::skip]
const VAGUE_REASONS: &[&str] = &[
    "failed to lock", "failed to update ref", "atomic transaction failed",
    "transaction failed to start",
];

/// Reasons with which a server reports trouble of its own: GitHub (`failure` goes with `fatal error
/// in commit_refs`), Gerrit, and git's words for a ref without an answer. Whether it moved is not
/// said.
#[rustfmt::skip]
const UNKNOWN_REASONS: &[&str] = &[
    "remote failed to report status", "no report", "internal server error",
    "error in gerrit backend", "fatal error in commit_refs", "timeout",
];

/// `unpacker error` with one of these means that the pack never arrived whole: our cache or the
/// connection is at fault, not the hub (2.39 and 2.47 with a damaged object on our side).
const PACK_CUT_SHORT: &[&str] = &["eof before pack header", "early eof", "pack-objects died"];

/// Final words that count although the connection broke afterwards, if the hub does not have the push: a
/// `reference-transaction` hook said no; the server wanted a password for the push itself; it lacks
/// what the push asks of it, and git leaves before it sends anything.
#[rustfmt::skip]
const DEFINITE_REFUSALS: &[&str] = &[
    "the receiving end does not support",
    "ref updates aborted by hook", "could not read username", "could not read password",
    "authentication failed",
];

/// Traces of a push that got as far as sending: from here on silence means nothing.
#[rustfmt::skip]
const PUSH_STARTED: &[&str] = &[
    "unexpected disconnect while reading sideband", "error in sideband demultiplexer", "rpc failed",
    "remote unpack failed", "hung up unexpectedly",
];

/// A connection that ended midway; harmless for a fetch, for a push it proves nothing.
#[rustfmt::skip]
const CUT: &[&str] = &[
    "hung up unexpectedly", "early eof", "rpc failed", "read error", "timed out",
    "connection reset", "expected flush after ", "unable to write to remote",
    // The answer of a fetch ends at, or in, the head of one of its sections; at that of the pack the hub
    // may as well have found damage of its own.
    "expected 'acknowledgments'", "expected 'shallow-info'", "expected 'wanted-refs'",
    "error reading section header", "error processing acks", "expected response end packet",
    "unexpected disconnect while reading",
];

/// A damaged object database (0-byte and garbled objects, packs and refs under git 2.39 and 2.47).
#[rustfmt::skip]
const BROKEN_STORE: &[&str] = &[
    " is corrupt", "object file ", "bad object ", "bad tree object", "unable to read tree",
    "unable to read sha1 file", "unable to read object",
    "unable to parse commit", "unable to unpack ", "missing blob", "missing tree",
    "revision walk setup failed", "did not send all necessary objects", "not a git repository",
];

/// What upload-pack of git 2.47 says of a ref whose commit it cannot read.
const NOT_OUR_REF: &[&str] = &["upload-pack: not our ref"];

/// Damage that the hub owns up to (upload-pack).
const HUB_DAMAGED: &[&str] = &["repository corruption on the remote side"];

/// Said of a file that could not be written.
const NOT_WRITTEN: &[&str] = &["failed to write", "No space left", "Disk quota", "Read-only file system"];

/// Said of a repository that is another user's.
const OF_ANOTHER: &[&str] = &["not owned by", "dubious ownership"];

/// How a line begins that says that a ref moved.
const MOVED: &[&str] = &[" ", "+", "*", "-"];

/// What is said of a push that was killed, mostly by our own deadline.
const PUSH_KILLED: &str = "git push was ended before it finished";

/// Judges one run of `git push --porcelain` that was to move some branches, and to find others where they are;
/// `exit_code` is `None` when git was killed.
///
/// The per-ref lines decide, whatever the exit code is: a server may die after it has answered.
#[must_use]
pub(super) fn classify_push(
    (moved, compared): (&[&str], &[&str]),
    exit_code: Option<i32>,
    stdout: &str,
    stderr: &str,
) -> Publication {
    let verdicts: Vec<Publication> =
        complete_lines(stdout).filter_map(|line| judge_ref(line, compared, stderr)).collect();
    if verdicts.is_empty() {
        return judge_silence(exit_code, stderr);
    }
    // git prints what is up to date, then what moved, then what did not, then `Done`: a list with a
    // rejection in it has shown everything that moved, one without may be cut short by a kill.
    let complete = exit_code.is_some() || complete_lines(stdout).any(|line| line == "Done");
    match combine(verdicts, complete) {
        // What was not named may not have been sent.
        Publication::Applied if !moved.iter().all(|branch| has_moved(branch, stdout)) => {
            Publication::Unknown("not every branch was answered".to_owned())
        }
        verdict => verdict,
    }
}

/// Whether a line says that `branch` moved.
fn has_moved(branch: &str, stdout: &str) -> bool {
    let target = format!("refs/heads/{branch}");
    complete_lines(stdout).any(|line| {
        let mut fields = line.splitn(3, '\t');
        let (flag, refs) = (fields.next(), fields.next().unwrap_or_default());
        flag.is_some_and(|flag| MOVED.contains(&flag)) && refs.rsplit(':').next() == Some(&target)
    })
}

/// Judges one run of `git fetch` with explicit branches; `exit_code` is `None` when git was killed.
#[must_use]
pub(super) fn classify_fetch(exit_code: Option<i32>, stdout: &str, stderr: &str) -> FetchVerdict {
    if exit_code == Some(0) {
        return FetchVerdict::Fetched;
    }
    if own_words(stderr).contains("couldn't find remote ref") {
        return FetchVerdict::MissingBranch;
    }
    if let Some(line) = own_line(stderr, NOT_OUR_REF) {
        return FetchVerdict::Failed(explain(line, stderr));
    }
    // What the connection lost at the end may be the line of git's own.
    let told = || remote_lines(stderr).find(|line| contains_any(line, HUB_DAMAGED));
    if let Some(line) = own_line(stderr, HUB_DAMAGED).or_else(told) {
        let object = remote_lines(stderr).find_map(named_in);
        return FetchVerdict::HubDamaged(explain(line, stderr), object);
    }
    if let Some(line) = broken_store(stderr) {
        return FetchVerdict::BrokenCache(line);
    }
    if let Some(reason) = turned_away(GitAction::Fetch, stderr) {
        return FetchVerdict::Denied(reason);
    }
    let cut = || {
        let line = own_line(stderr, CUT)?;
        Some(Reason::said(Cause::Network, Voice::Git, explain(line, stderr)))
    };
    if let Some(reason) = not_connected(stderr).or_else(cut) {
        return FetchVerdict::Unreachable(reason);
    }
    match exit_code {
        None => {
            FetchVerdict::Unreachable(Reason::of(Cause::Network, "git fetch was ended before it finished"))
        }
        // What git cannot do here it names; of a connection that ssh lost in its last bytes it says nothing.
        Some(_) if stdout.trim().is_empty() && stderr.trim().is_empty() => {
            FetchVerdict::Unreachable(Reason::of(Cause::Silent, "git fetch failed without a word"))
        }
        Some(code) => FetchVerdict::Failed(last_words(code, stdout, stderr)),
    }
}

/// The line in which git complains of a damaged object database, if there is one.
///
/// Ask it after a push that ended in [`Publication::Unknown`]: no pack can be made from a damaged
/// object of our cache, and the fetch that follows need not touch that object.
#[must_use]
pub(super) fn broken_store(stderr: &str) -> Option<String> {
    // What the hub reports about itself comes with `remote:`, and over ssh a second time without it.
    let of_the_hub: Vec<&str> = remote_lines(stderr).collect();
    let ours: Vec<&str> = stderr.lines().filter(|line| !of_the_hub.contains(&line.trim())).collect();
    own_line(&ours.join("\n"), BROKEN_STORE).map(|line| one_line(headline(line)))
}

/// Reads one `<flag>\t<from>:<to>\t<summary>` line; `None` for any other line.
fn judge_ref(line: &str, compared: &[&str], stderr: &str) -> Option<Publication> {
    let mut fields = line.splitn(3, '\t');
    let (flag, refs, summary) = (fields.next()?, fields.next()?, fields.next()?);
    let target = refs.rsplit(':').next().unwrap_or(refs);
    match flag {
        flag if MOVED.contains(&flag) => Some(Publication::Applied),
        // It was to stay where it is, which says nothing of what was to move.
        "=" if target.strip_prefix("refs/heads/").is_some_and(|branch| compared.contains(&branch)) => None,
        "=" => Some(Publication::Unknown("up to date".to_owned())),
        "!" => Some(judge_rejection(summary, target, stderr)),
        _ if flag.chars().count() == 1 => Some(Publication::Unknown(one_line(summary))),
        _ => None,
    }
}

/// Judges the summary of a `!` line: `[rejected] (reason)`, `[remote rejected] (reason)`, …
fn judge_rejection(summary: &str, target: &str, stderr: &str) -> Publication {
    let (kind, reason) = summary.split_once("] (").unwrap_or((summary, "no reason given)"));
    let reason = reason.strip_suffix(')').unwrap_or(reason);
    let lower = reason.to_lowercase();
    if ATOMIC_CONSEQUENCE.contains(&lower.as_str()) {
        return Publication::Stale; // the weakest rejection: the ref at fault outweighs it
    }
    match kind.trim_matches(['[', ']']) {
        "rejected" if CLIENT_STALE.contains(&lower.as_str()) => Publication::Stale,
        "rejected" => Publication::Denied(rejected(reason, reason, stderr)),
        "remote rejected" => judge_remote_rejection(reason, &lower, target, stderr),
        _ => Publication::Unknown(explain(reason, stderr)),
    }
}

/// Judges the reason that the server gave for one ref.
fn judge_remote_rejection(reason: &str, lower: &str, target: &str, stderr: &str) -> Publication {
    if lower == "failure" || contains_any(lower, UNKNOWN_REASONS) {
        return Publication::Unknown(explain(reason, stderr));
    }
    if lower.contains("unpack") {
        let cut = contains_any(&stderr.to_lowercase(), PACK_CUT_SHORT);
        let detail = broken_store(stderr)
            .or_else(|| own_line(stderr, &["remote unpack failed"]).map(ToOwned::to_owned))
            .unwrap_or_else(|| reason.to_owned());
        return match cut {
            true => Publication::Unknown(explain(&detail, stderr)),
            false => Publication::Denied(rejected(reason, &detail, stderr)),
        };
    }
    let vague = VAGUE_REASONS.contains(&lower);
    let words = if vague { words_about(target, stderr) } else { lower.to_owned() };
    if contains_any(&words, REFUSED_FOR_GOOD) {
        Publication::Denied(rejected(reason, reason, stderr))
    } else if contains_any(&words, BUSY_REASONS) {
        Publication::Busy(None)
    } else if contains_any(&words, STALE_REASONS) {
        Publication::Stale
    } else if vague {
        Publication::Busy(None)
    } else {
        Publication::Denied(rejected(reason, reason, stderr))
    }
}

/// Joins the verdicts of all refs of one push: what is not known first, then what weighs most.
fn combine(verdicts: Vec<Publication>, complete: bool) -> Publication {
    let total = verdicts.len();
    let (mut applied, mut busy, mut denied, mut unknown) = (0, false, None, None);
    for verdict in verdicts {
        match verdict {
            Publication::Applied => applied += 1,
            Publication::Stale | Publication::StaleOrRepeated => {}
            Publication::Busy(_) => busy = true,
            Publication::Denied(text) | Publication::Doubted(text) => denied = denied.or(Some(text)),
            Publication::Unreachable(reason) => unknown = unknown.or(Some(reason.words)),
            Publication::Unknown(why) | Publication::Failed { why, .. } => unknown = unknown.or(Some(why)),
        }
    }
    match (unknown, denied) {
        (Some(text), _) => Publication::Unknown(text),
        _ if applied == total && complete => Publication::Applied,
        _ if applied == total => Publication::Unknown(PUSH_KILLED.to_owned()),
        _ if applied > 0 => Publication::Unknown("only a part of the push was applied".to_owned()),
        (None, Some(text)) => Publication::Denied(text),
        (None, None) if busy => Publication::Busy(None),
        (None, None) => Publication::Stale,
    }
}

/// Judges a push that printed no per-ref line: it failed early, or its answer was lost.
fn judge_silence(exit_code: Option<i32>, stderr: &str) -> Publication {
    let Some(code) = exit_code else {
        return Publication::Unknown(PUSH_KILLED.to_owned());
    };
    if code == 0 {
        return Publication::Unknown("up to date".to_owned());
    }
    let own = own_words(stderr);
    let has_begun = contains_any(&own, PUSH_STARTED);
    let refused = |reason| if has_begun { Publication::Doubted(reason) } else { Publication::Denied(reason) };
    let refused_request = Some(&own).filter(|own| own.contains("rpc failed"));
    if let Some(cause) = refused_request.and_then(|own| http_refusal(GitAction::Push, own)) {
        let line = own_line(stderr, &["rpc failed"]).unwrap_or_default();
        let reason = Reason::said(cause, Voice::Git, explain(line, stderr));
        return refused(reason);
    }
    if let Some(line) = own_line(stderr, DEFINITE_REFUSALS) {
        return refused(rejected(line, line, stderr));
    }
    if has_begun {
        return Publication::Unknown(last_words(code, "", stderr));
    }
    if let Some(reason) = turned_away(GitAction::Push, stderr) {
        return Publication::Denied(reason);
    }
    match never_connected(stderr) {
        Some(reason) => Publication::Unreachable(reason),
        None => Publication::Unknown(last_words(code, "", stderr)),
    }
}

/// What the hub said about the ref `target`, or everything where it is not named; in lower case.
fn words_about(target: &str, stderr: &str) -> String {
    let target = format!("'{}'", target.to_lowercase());
    let lines: Vec<String> = remote_lines(stderr).map(str::to_lowercase).collect();
    let about: Vec<&str> = lines.iter().map(String::as_str).filter(|line| line.contains(&target)).collect();
    if !about.is_empty() {
        return about.join("\n");
    }
    lines.into_iter().chain([own_words(stderr)]).collect::<Vec<_>>().join("\n")
}

/// Whether there is no room on a disk.
pub(super) fn is_about_room(why: &str) -> bool {
    why.contains("No space left")
}

/// What a fault of a repository on this machine comes from, in the words of libgit2, git or the system.
pub(super) fn store_cause(why: &str) -> StoreCause {
    if is_about_owner(why) {
        StoreCause::Owner
    } else if contains_any(why, NOT_WRITTEN) {
        StoreCause::Disk
    } else {
        StoreCause::Other
    }
}

/// Whether a repository is not used because it is another user's.
pub(super) fn is_about_owner(why: &str) -> bool {
    contains_any(why, OF_ANOTHER)
}

/// Whether a lock file stood in the way.
pub(super) fn is_about_lock(why: &str) -> bool {
    why.contains("lock")
}

/// Whether a ref may lead nowhere that a fetch asked for.
pub(super) fn is_about_ref(why: &str) -> bool {
    why.contains("not our ref")
}

/// Whether this account may not read a file.
pub(super) fn is_about_rights(why: &str) -> bool {
    why.to_lowercase().contains("permission denied")
}

/// Whether no branch of the hub has a name that was asked for.
pub(super) fn is_without_match(stderr: &str) -> bool {
    stderr.contains("no matching remote head")
}

fn contains_any(text: &str, phrases: &[&str]) -> bool {
    phrases.iter().any(|phrase| text.contains(phrase))
}

/// Lines that git finished writing: the last one of a killed process may be cut.
fn complete_lines(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'))
}
