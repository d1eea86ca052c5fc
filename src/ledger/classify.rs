//! Turns what the `git` program printed into a typed verdict.
//!
//! Every write of the ledger ends in one `git push --porcelain --force-with-lease=…`, and what the
//! ledger does next depends on a single question: is our commit in the hub, is it certainly not, or
//! can nobody tell from here? This file answers it from exit code, stdout and stderr (`LC_ALL=C`).
//!
//! The knowledge is in tables of phrases. Each phrase was recorded from a real run or is documented
//! by a forge; the outputs are in `tests/recordings/`, and a test checks each of them. To teach it
//! something new, add the recording first.
//!
//! It must not spawn, read or write anything, and must not guess: a push that the hub may have
//! received without an answer for its refs is [`PushVerdict::Unknown`], never a failure.

/// What one `git push --porcelain` run tells about our updates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PushVerdict {
    /// The hub said of every ref that it moved to our commit.
    Applied,
    /// Nothing moved: somebody else was faster. Fetch, apply the operation again, push again.
    Stale,
    /// Nothing moved: somebody holds a lock in the hub. As [`Self::Stale`], after a longer wait.
    Busy,
    /// Nothing moved and trying again will not help. The reason is one clean line for people.
    Denied(String),
    /// Nothing moved: the hub was not reached, or turned us away before it took the push.
    Unreachable(String),
    /// Nobody can tell from here: look for the operation's id in the hub before anything else.
    Unknown(String),
}

/// What one `git fetch` run tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FetchVerdict {
    /// The branches are here.
    Fetched,
    /// A branch asked for is not in the hub, or the hub is empty.
    MissingBranch,
    /// The hub was not reached or the connection was cut; trying again may help.
    Unreachable(String),
    /// The hub refused us, or there is no such repository.
    Denied(String),
    /// An object database is damaged, most likely our own cache: set it aside and fetch afresh,
    /// once. Over ssh or a path git words a damaged hub in the same way, so a second time it is the
    /// hub.
    BrokenCache(String),
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

/// Final words that stay definite although the connection broke afterwards: a
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

/// Answers that turn us away before any data is taken: ssh, git daemon, http, a path, and the
/// forges.
#[rustfmt::skip]
const TURNED_AWAY: &[&str] = &[
    "permission denied (", "host key verification failed", "too many authentication failures",
    "does not appear to be a git repository", "dubious ownership in repository", "access denied",
    "service not enabled", "repository not found", "invalid credentials", "authentication failed",
    "could not read username", "could not read password", "not valid: is this a git repository",
    "no dav locking support", "unable to update url base from redirection", "ssl certificate problem",
    "certificate verification failed", "certificate subject name",
    "marked as read only", "archived so it is read-only", "does not have write access",
    "permission to ", "could not be found or you don't have permission", "not allowed to push",
    "not allowed to upload", "cannot run ", "cannot exec ",
    "unable to fork", "unable to find remote helper", "transport '",
];

/// A connection that never came to be (curl, ssh, git daemon) or ended before the hub's first
/// answer: git prints `could not read from remote repository` and `upon initial contact` nowhere
/// else.
#[rustfmt::skip]
const NEVER_CONNECTED: &[&str] = &[
    "could not resolve host", "name or service not known", "temporary failure in name resolution",
    "unable to look up", "unable to connect to", "unable to access", "connection refused",
    "no route to host", "network is unreachable", "kex_exchange_identification",
    "ssh_exchange_identification", "ssh: connect to host", "could not read from remote repository",
    "upon initial contact",
];

/// A connection that ended midway; harmless for a fetch, for a push it proves nothing.
#[rustfmt::skip]
const CUT: &[&str] = &[
    "hung up unexpectedly", "early eof", "rpc failed", "read error", "timed out",
    "connection reset", "expected flush after ", "unable to write to remote",
];

/// A damaged object database (0-byte and garbled objects, packs and refs under git 2.39 and 2.47).
#[rustfmt::skip]
const BROKEN_STORE: &[&str] = &[
    " is corrupt", "object file ", "bad object ", "bad tree object", "unable to read tree",
    "unable to read sha1 file", "unable to read object",
    "unable to parse commit", "unable to unpack ", "missing blob", "missing tree",
    "revision walk setup failed", "did not send all necessary objects", "not a git repository",
];

/// Damage that the hub owns up to (upload-pack; 2.47 says `not our ref` of a commit it cannot
/// read).
#[rustfmt::skip]
const HUB_DAMAGED: &[&str] = &[
    "repository corruption on the remote side", "upload-pack: not our ref",
];

/// Lines that a server sends for company and not as an explanation.
#[rustfmt::skip]
const CHATTER: &[&str] = &[
    "resolving deltas", "counting objects", "compressing objects", "enumerating objects",
    "processing changes", "total ", "review all repository rules", "error: hook declined to update",
    "another git process seems",
];

/// How a line begins that says that a ref moved.
const MOVED: &[&str] = &[" ", "+", "*", "-"];

/// What is said of a push that was killed, mostly by our own deadline.
const PUSH_KILLED: &str = "git push was ended before it finished";

/// Longest reason, in characters: one line of a log.
const REASON_CHARS_MAX: usize = 300;

/// Judges one run of `git push --porcelain` of `branches`; `exit_code` is `None` when git was killed.
///
/// The per-ref lines decide, whatever the exit code is: a server may die after it has answered.
#[must_use]
pub(super) fn classify_push(
    branches: &[&str],
    exit_code: Option<i32>,
    stdout: &str,
    stderr: &str,
) -> PushVerdict {
    let verdicts: Vec<PushVerdict> =
        complete_lines(stdout).filter_map(|line| judge_ref(line, stderr)).collect();
    if verdicts.is_empty() {
        return judge_silence(exit_code, stderr);
    }
    // git prints what is up to date, then what moved, then what did not, then `Done`: a list with a
    // rejection in it has shown everything that moved, one without may be cut short by a kill.
    let complete = exit_code.is_some() || complete_lines(stdout).any(|line| line == "Done");
    match combine(verdicts, complete) {
        // What was not named may not have been sent.
        PushVerdict::Applied if !branches.iter().all(|branch| has_moved(branch, stdout)) => {
            PushVerdict::Unknown("not every branch was answered".to_owned())
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
    if let Some(line) = find_line(stderr, HUB_DAMAGED) {
        return FetchVerdict::Failed(explain(line, stderr));
    }
    if let Some(line) = broken_store(stderr) {
        return FetchVerdict::BrokenCache(line);
    }
    if let Some(reason) = turned_away(stderr) {
        return FetchVerdict::Denied(reason);
    }
    if let Some(line) = find_line(stderr, NEVER_CONNECTED).or_else(|| find_line(stderr, CUT)) {
        return FetchVerdict::Unreachable(explain(line, stderr));
    }
    match exit_code {
        None => FetchVerdict::Unreachable("git fetch was ended before it finished".to_owned()),
        Some(code) => FetchVerdict::Failed(last_words(code, stdout, stderr)),
    }
}

/// The line in which git complains of a damaged object database, if there is one.
///
/// Ask it after a push that ended in [`PushVerdict::Unknown`]: no pack can be made from a damaged
/// object of our cache, and the fetch that follows need not touch that object.
#[must_use]
pub(super) fn broken_store(stderr: &str) -> Option<String> {
    // What the hub reports about itself comes with `remote:`, and over ssh a second time without it.
    let of_the_hub: Vec<&str> = remote_lines(stderr).collect();
    stderr
        .lines()
        .filter(|line| !line.starts_with("remote:") && !of_the_hub.contains(&line.trim()))
        .find(|line| contains_any(&line.to_lowercase(), BROKEN_STORE))
        .map(|line| one_line(headline(line)))
}

/// Reads one `<flag>\t<from>:<to>\t<summary>` line; `None` for any other line.
fn judge_ref(line: &str, stderr: &str) -> Option<PushVerdict> {
    let mut fields = line.splitn(3, '\t');
    let (flag, refs, summary) = (fields.next()?, fields.next()?, fields.next()?);
    let target = refs.rsplit(':').next().unwrap_or(refs);
    match flag {
        flag if MOVED.contains(&flag) => Some(PushVerdict::Applied),
        "=" => Some(PushVerdict::Unknown("up to date".to_owned())),
        "!" => Some(judge_rejection(summary, target, stderr)),
        _ if flag.chars().count() == 1 => Some(PushVerdict::Unknown(one_line(summary))),
        _ => None,
    }
}

/// Judges the summary of a `!` line: `[rejected] (reason)`, `[remote rejected] (reason)`, …
fn judge_rejection(summary: &str, target: &str, stderr: &str) -> PushVerdict {
    let (kind, reason) = summary.split_once("] (").unwrap_or((summary, "no reason given)"));
    let reason = reason.strip_suffix(')').unwrap_or(reason);
    let lower = reason.to_lowercase();
    if ATOMIC_CONSEQUENCE.contains(&lower.as_str()) {
        return PushVerdict::Stale; // the weakest rejection: the ref at fault outweighs it
    }
    match kind.trim_matches(['[', ']']) {
        "rejected" if CLIENT_STALE.contains(&lower.as_str()) => PushVerdict::Stale,
        "rejected" => PushVerdict::Denied(explain(reason, stderr)),
        "remote rejected" => judge_remote_rejection(reason, &lower, target, stderr),
        _ => PushVerdict::Unknown(explain(reason, stderr)),
    }
}

/// Judges the reason that the server gave for one ref.
fn judge_remote_rejection(reason: &str, lower: &str, target: &str, stderr: &str) -> PushVerdict {
    if lower == "failure" || contains_any(lower, UNKNOWN_REASONS) {
        return PushVerdict::Unknown(explain(reason, stderr));
    }
    if lower.contains("unpack") {
        let cut = contains_any(&stderr.to_lowercase(), PACK_CUT_SHORT);
        let detail = broken_store(stderr)
            .or_else(|| find_line(stderr, &["remote unpack failed"]).map(ToOwned::to_owned))
            .unwrap_or_else(|| reason.to_owned());
        let text = explain(&detail, stderr);
        return if cut { PushVerdict::Unknown(text) } else { PushVerdict::Denied(text) };
    }
    let vague = VAGUE_REASONS.contains(&lower);
    let words = if vague { words_about(target, stderr) } else { lower.to_owned() };
    if contains_any(&words, REFUSED_FOR_GOOD) {
        PushVerdict::Denied(explain(reason, stderr))
    } else if contains_any(&words, BUSY_REASONS) {
        PushVerdict::Busy
    } else if contains_any(&words, STALE_REASONS) {
        PushVerdict::Stale
    } else if vague {
        PushVerdict::Busy
    } else {
        PushVerdict::Denied(explain(reason, stderr))
    }
}

/// Joins the verdicts of all refs of one push: what is not known first, then what weighs most.
fn combine(verdicts: Vec<PushVerdict>, complete: bool) -> PushVerdict {
    let total = verdicts.len();
    let (mut applied, mut busy, mut denied, mut unknown) = (0, false, None, None);
    for verdict in verdicts {
        match verdict {
            PushVerdict::Applied => applied += 1,
            PushVerdict::Stale => {}
            PushVerdict::Busy => busy = true,
            PushVerdict::Denied(text) => denied = denied.or(Some(text)),
            PushVerdict::Unreachable(text) | PushVerdict::Unknown(text) => {
                unknown = unknown.or(Some(text));
            }
        }
    }
    match (unknown, denied) {
        (Some(text), _) => PushVerdict::Unknown(text),
        _ if applied == total && complete => PushVerdict::Applied,
        _ if applied == total => PushVerdict::Unknown(PUSH_KILLED.to_owned()),
        _ if applied > 0 => PushVerdict::Unknown("only a part of the push was applied".to_owned()),
        (None, Some(text)) => PushVerdict::Denied(text),
        (None, None) if busy => PushVerdict::Busy,
        (None, None) => PushVerdict::Stale,
    }
}

/// Judges a push that printed no per-ref line: it failed early, or its answer was lost.
fn judge_silence(exit_code: Option<i32>, stderr: &str) -> PushVerdict {
    let Some(code) = exit_code else {
        return PushVerdict::Unknown(PUSH_KILLED.to_owned());
    };
    if code == 0 {
        return PushVerdict::Unknown("up to date".to_owned());
    }
    let own = own_words(stderr);
    let refused_request = own.contains("rpc failed") && http_refuses(&own);
    if refused_request || contains_any(&own, DEFINITE_REFUSALS) {
        let line = find_line(stderr, DEFINITE_REFUSALS).or_else(|| find_line(stderr, &["rpc failed"]));
        return PushVerdict::Denied(explain(line.unwrap_or("refused"), stderr));
    }
    if contains_any(&own, PUSH_STARTED) {
        return PushVerdict::Unknown(last_words(code, "", stderr));
    }
    if let Some(reason) = turned_away(stderr) {
        return PushVerdict::Denied(reason);
    }
    match find_line(stderr, NEVER_CONNECTED) {
        Some(line) => PushVerdict::Unreachable(explain(line, stderr)),
        None => PushVerdict::Unknown(last_words(code, "", stderr)),
    }
}

/// The reason when the other side turned us away at the door.
fn turned_away(stderr: &str) -> Option<String> {
    let own = own_words(stderr);
    // `repository '…' not found` has the address in the middle.
    let not_found =
        || stderr.lines().find(|line| line.contains("epository '") && line.contains("' not found"));
    let by_http = || find_line(stderr, &["returned error"]).filter(|_| http_refuses(&own));
    let line = find_line(stderr, TURNED_AWAY).or_else(not_found).or_else(by_http)?;
    Some(explain(line, stderr))
}

/// Whether the HTTP status in `text` is a refusal: 4xx, but no time-out (408) or limit (425, 429).
fn http_refuses(text: &str) -> bool {
    let status = text.split("returned error: ").nth(1).and_then(|rest| rest.get(..3));
    let code = status.and_then(|digits| digits.parse::<u16>().ok()).unwrap_or(0);
    (400..500).contains(&code) && ![408, 425, 429].contains(&code)
}

/// What the hub said about the ref `target`, or everything where it is not named; in lower case.
fn words_about(target: &str, stderr: &str) -> String {
    let target = format!("'{}'", target.to_lowercase());
    let lines: Vec<String> = remote_lines(stderr).map(str::to_lowercase).collect();
    let about: Vec<&str> = lines.iter().map(String::as_str).filter(|line| line.contains(&target)).collect();
    if about.is_empty() { stderr.to_lowercase() } else { about.join("\n") }
}

/// The lines of `stderr` that the local git (or ssh) wrote, in lower case.
fn own_words(stderr: &str) -> String {
    let own: Vec<&str> = stderr.lines().filter(|line| !line.starts_with("remote:")).collect();
    own.join("\n").to_lowercase()
}

/// What the hub sent for people, without `remote:` and the blanks git adds.
fn remote_lines(stderr: &str) -> impl Iterator<Item = &str> {
    stderr.lines().filter_map(|line| line.strip_prefix("remote:")).map(str::trim)
}

/// The first line that contains one of `phrases`.
fn find_line<'a>(stderr: &'a str, phrases: &[&str]) -> Option<&'a str> {
    stderr.lines().find(|line| contains_any(&line.to_lowercase(), phrases))
}

fn contains_any(text: &str, phrases: &[&str]) -> bool {
    phrases.iter().any(|phrase| text.contains(phrase))
}

/// Lines that git finished writing: the last one of a killed process may be cut.
fn complete_lines(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'))
}

/// One line for people: `head`, then the first two lines with which the hub explains it.
fn explain(head: &str, stderr: &str) -> String {
    let head = headline(head);
    let is_useful = |line: &String| {
        let lower = line.to_lowercase();
        line.contains(char::is_alphanumeric)
            && !CHATTER.iter().any(|start| lower.starts_with(start))
            && !head.contains(headline(line))
    };
    let said: Vec<String> = remote_lines(stderr)
        .map(without_escapes)
        .filter(is_useful)
        .map(|line| headline(&line).to_owned())
        .take(2)
        .collect();
    if said.is_empty() { one_line(head) } else { one_line(&format!("{head}: {}", said.join("; "))) }
}

/// The most telling line of a failed run that no table knows.
fn last_words(code: i32, stdout: &str, stderr: &str) -> String {
    let is_error = |line: &&str| line.starts_with("fatal: ") || line.starts_with("error: ");
    let any_line = || stderr.lines().chain(stdout.lines()).find(|line| !line.trim().is_empty());
    match stderr.lines().find(is_error).or_else(any_line) {
        Some(line) => explain(line, stderr),
        None => format!("git ended with exit code {code} and no message"),
    }
}

/// `line` without the prefix that git and the forges put before it, and without a final period.
fn headline(line: &str) -> &str {
    let line = line.strip_prefix("remote:").unwrap_or(line).trim();
    let start = ["fatal: ", "error: ", "ERROR: ", "- "];
    let line = start.iter().find_map(|prefix| line.strip_prefix(prefix)).unwrap_or(line);
    line.trim_end_matches(['.', ':', ' '])
}

/// Makes `text` fit for a terminal and a log: one line, no control characters, no secrets, bounded.
fn one_line(text: &str) -> String {
    let clean = without_passwords(&without_escapes(text));
    let line = clean.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= REASON_CHARS_MAX {
        return line;
    }
    line.chars().take(REASON_CHARS_MAX - 1).chain(['…']).collect()
}

/// Drops terminal escape sequences, control characters and the marks that reorder text.
fn without_escapes(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\u{1b}' if chars.next_if_eq(&'[').is_some() => {
                // CSI: parameters up to one final character.
                chars.by_ref().find(|char| matches!(char, '@'..='~'));
            }
            '\u{1b}' if chars.next_if_eq(&']').is_some() => {
                // OSC (window titles, links): text up to BEL or ESC.
                chars.by_ref().find(|char| matches!(char, '\u{7}' | '\u{1b}'));
            }
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => {}
            _ if char.is_control() => clean.push(' '),
            _ => clean.push(char),
        }
    }
    clean
}

/// Replaces `user:password@`, `token@` and what follows a question mark in web addresses, which
/// not every message of git leaves out.
pub(super) fn without_passwords(text: &str) -> String {
    let mut parts = text.split("://");
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_ssh = clean.ends_with("ssh");
        let end = part.find([' ', '\'', '"']).unwrap_or(part.len());
        let query = part.find('?').filter(|query| *query < end);
        let hidden = query.map(|query| {
            format!("{}?***{}", part.get(..query).unwrap_or_default(), part.get(end..).unwrap_or_default())
        });
        let part = hidden.as_deref().unwrap_or(part);
        let host_end = part.find(['/', ' ', '\'', '"']).unwrap_or(part.len());
        clean.push_str("://");
        match part.get(..host_end).and_then(|host| host.rfind('@')) {
            Some(at) if !is_ssh => {
                clean.push_str("***");
                clean.push_str(part.get(at..).unwrap_or_default());
            }
            _ => clean.push_str(part),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// One file of `tests/recordings`.
    struct Recording {
        name: String,
        expect: String,
        reason: Option<String>,
        exit_code: Option<i32>,
        stdout: String,
        stderr: String,
    }

    fn recordings(kind: &str) -> Vec<Recording> {
        let directory = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recordings")).join(kind);
        let mut found: Vec<Recording> = std::fs::read_dir(&directory)
            .expect("the recordings are in the repository")
            .map(|entry| parse(&entry.expect("a readable directory").path()))
            .collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        assert!(found.len() > 20, "only {} recordings in {}", found.len(), directory.display());
        found
    }

    fn parse(path: &Path) -> Recording {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).expect("a recording is UTF-8");
        let (head, rest) = text.split_once("--- stdout\n").unwrap_or_else(|| panic!("{name}: no stdout"));
        let (stdout, stderr) = rest.split_once("--- stderr\n").unwrap_or_else(|| panic!("{name}: no stderr"));
        let field = |key: &str| head.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
        let known = ["# case: ", "# expect: ", "# source: ", "# reason: ", "# note: ", "exit: "];
        for line in head.lines() {
            assert!(known.iter().any(|key| line.starts_with(key)), "{name}: unknown line {line:?}");
        }
        for key in ["# case: ", "# source: "] {
            assert!(field(key).is_some(), "{name}: no line {key:?}");
        }
        let exit = field("exit: ").unwrap_or_else(|| panic!("{name}: no exit code"));
        Recording {
            expect: field("# expect: ").unwrap_or_else(|| panic!("{name}: no expectation")).to_owned(),
            reason: field("# reason: ").map(str::to_owned),
            exit_code: if exit == "killed" { None } else { Some(exit.parse().expect("an exit code")) },
            stdout: stdout.to_owned(),
            stderr: stderr.to_owned(),
            name,
        }
    }

    /// Compares the name of the variant and, where the recording asks for it, the words of the
    /// reason.
    fn mismatch(recording: &Recording, verdict: &str) -> Option<String> {
        let variant = verdict.split('(').next().unwrap_or_default();
        let reason_fits = recording.reason.as_ref().is_none_or(|words| verdict.contains(words.as_str()));
        let is_clean = !verdict.contains("\\u{") && verdict.chars().count() <= REASON_CHARS_MAX + 40;
        (variant != recording.expect || !reason_fits || !is_clean).then(|| {
            format!(
                "{}\n  expected {} {:?}\n  found    {verdict}",
                recording.name, recording.expect, recording.reason
            )
        })
    }

    #[test]
    fn a_push_is_applied_only_when_every_branch_was_answered() {
        let main = " \tabc:refs/heads/main\told..new\n";
        let beat = "+\tdef:refs/heads/heartbeat-a\told...new (forced update)\n";
        let judged = |stdout: &str| classify_push(&["main", "heartbeat-a"], Some(0), stdout, "");
        assert_eq!(judged(&format!("To hub\n{main}{beat}Done\n")), PushVerdict::Applied);
        for stdout in [main, beat, "Done\n", " \tabc:refs/heads/maintenance\told..new\n"] {
            assert!(matches!(judged(stdout), PushVerdict::Unknown(_)), "{stdout:?}: {:?}", judged(stdout));
        }
    }

    #[test]
    fn every_recorded_push_is_judged_right() {
        let wrong: Vec<String> = recordings("push")
            .iter()
            .filter_map(|r| {
                mismatch(r, &format!("{:?}", classify_push(&[], r.exit_code, &r.stdout, &r.stderr)))
            })
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn every_recorded_fetch_is_judged_right() {
        let wrong: Vec<String> = recordings("fetch")
            .iter()
            .filter_map(|r| mismatch(r, &format!("{:?}", classify_fetch(r.exit_code, &r.stdout, &r.stderr))))
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn a_killed_push_is_never_called_a_failure_unless_its_lines_say_so() {
        for r in recordings("push") {
            let verdict = classify_push(&[], None, &r.stdout, &r.stderr);
            let has_lines = r.stdout.lines().any(|line| line.contains('\t'));
            assert!(has_lines || matches!(verdict, PushVerdict::Unknown(_)), "{}: {verdict:?}", r.name);
        }
    }

    #[test]
    fn a_push_cut_anywhere_in_its_output_is_never_called_applied_too_early() {
        for r in recordings("push").iter().filter(|r| r.expect != "Applied") {
            for end in (0..r.stdout.len()).filter(|end| r.stdout.is_char_boundary(*end)) {
                let verdict = classify_push(&[], None, &r.stdout[..end], "");
                assert!(verdict != PushVerdict::Applied, "{} cut at {end}", r.name);
            }
        }
    }

    #[test]
    fn without_its_output_no_push_is_final() {
        for code in [None, Some(0), Some(1), Some(128), Some(255)] {
            assert!(matches!(classify_push(&[], code, "", ""), PushVerdict::Unknown(_)), "{code:?}");
            assert!(matches!(classify_push(&[], code, "Done\n", ""), PushVerdict::Unknown(_)), "{code:?}");
        }
    }

    #[test]
    fn a_reason_is_one_clean_bounded_line() {
        let stderr = format!("remote: \u{1b}[31m{}\u{202e}\u{9b}\u{7}\r\n", "é".repeat(400));
        let stdout = "!\ta:refs/heads/main\t[remote rejected] (pre-receive hook declined)\n";
        let PushVerdict::Denied(reason) = classify_push(&[], Some(1), stdout, &stderr) else {
            panic!("a hook's refusal is final");
        };
        assert_eq!(reason.chars().count(), REASON_CHARS_MAX);
        assert!(reason.ends_with('…') && !reason.contains(char::is_control), "{reason}");
    }

    #[test]
    fn no_password_reaches_a_reason() {
        for (text, clean) in [
            (
                "unable to access 'https://bob:s3cret@example.com/hub.git/': no",
                "unable to access 'https://***@example.com/hub.git/': no",
            ),
            ("at https://ghp_token@example.com", "at https://***@example.com"),
            ("at ssh://git@example.com/hub.git", "at ssh://git@example.com/hub.git"),
            ("at https://example.com/a@b", "at https://example.com/a@b"),
            ("at https://example.com/x?token=s3cret now", "at https://example.com/x?*** now"),
            ("at 'https://bob@example.com/x?t=s3cret'?", "at 'https://***@example.com/x?***'?"),
            ("is https://example.com/x there?", "is https://example.com/x there?"),
        ] {
            assert_eq!(one_line(text), clean);
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_taken_out() {
        for (text, clean) in [
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{1b}]0;title\u{7}text", "text"),
            ("\u{1b}]8;;http://x\u{1b}\\link", "\\link"),
            // What begins no known sequence is one blank, and takes nothing with it.
            ("a\u{1b}b c", "a b c"),
            ("a\u{9b}b\u{0}c\rd", "a b c d"),
            ("a\u{202e}b\u{2066}c\u{2069}\u{200e}\u{200f}\u{feff}d", "abcd"),
            ("\u{2065}\u{202f}ü", "\u{2065}\u{202f}ü"),
        ] {
            assert_eq!(without_escapes(text), clean, "{text:?}");
        }
    }

    #[test]
    fn every_line_of_a_push_has_its_verdict() {
        let denied = |why: &str| PushVerdict::Denied(why.to_owned());
        let unknown = |why: &str| PushVerdict::Unknown(why.to_owned());
        for (line, verdict) in [
            ("=\ta:refs/heads/main\t[up to date]", Some(unknown("up to date"))),
            ("?\ta:refs/heads/main\t[never seen]", Some(unknown("[never seen]"))),
            ("To\thub\tand on", None),
            ("!\ta:refs/heads/main\t[rejected] (stale info)", Some(PushVerdict::Stale)),
            ("!\ta:refs/heads/main\t[rejected] (would clobber it)", Some(denied("would clobber it"))),
            ("!\ta:refs/heads/main\t[remote failure] (stale info)", Some(unknown("stale info"))),
        ] {
            assert_eq!(judge_ref(line, ""), verdict, "{line}");
        }
        let applied = || vec![PushVerdict::Applied, PushVerdict::Applied];
        assert_eq!(combine(applied(), true), PushVerdict::Applied);
        assert_eq!(combine(applied(), false), unknown(PUSH_KILLED));
        assert_eq!(
            combine(vec![PushVerdict::Applied, PushVerdict::Stale], true),
            unknown("only a part of the push was applied")
        );
    }

    #[test]
    fn who_is_not_found_turned_nobody_away_unless_it_is_the_repository() {
        for (stderr, expected) in [
            ("fatal: repository 'https://h/x/' not found", Some("repository 'https://h/x/' not found")),
            ("fatal: the file 'x' not found", None),
            ("warning: in repository 'x' the config is odd", None),
        ] {
            assert_eq!(turned_away(stderr).as_deref(), expected, "{stderr}");
        }
    }

    #[test]
    fn what_the_hub_says_of_its_own_store_is_not_said_of_ours() {
        const OURS: &str = "error: object file .git/objects/aa/bb is empty";
        for (stderr, expected) in [
            (OURS.to_owned(), Some("object file .git/objects/aa/bb is empty")),
            (format!("remote: {OURS}"), None),
            // Over ssh it comes a second time without `remote:`.
            (format!("{OURS}\nremote: {OURS}"), None),
        ] {
            assert_eq!(broken_store(&stderr).as_deref(), expected, "{stderr}");
        }
    }

    #[test]
    fn of_an_unknown_failure_the_most_telling_line_is_told() {
        for (stdout, stderr, expected) in [
            ("", "", "git ended with exit code 9 and no message"),
            ("", "\n  \n", "git ended with exit code 9 and no message"),
            ("out", "\n", "out"),
            ("out", "\nhint: x\nfatal: broken.\nerror: y", "broken"),
            ("out", "hint: x\nerror: y\nfatal: broken", "y"),
            ("out", "hint: x\n", "hint: x"),
        ] {
            assert_eq!(last_words(9, stdout, stderr), expected, "{stderr:?}");
        }
    }
}
