//! Every recorded output of git has its verdict and its cause.

use super::words::REASON_CHARS_MAX;
use super::*;
use std::path::Path;

/// One file of `tests/recordings`.
struct Recording {
    name: String,
    expect: String,
    reason: Option<String>,
    cause: Option<String>,
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
    let known = ["# case: ", "# expect: ", "# source: ", "# reason: ", "# cause: ", "# note: ", "exit: "];
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
        cause: field("# cause: ").map(str::to_owned),
        exit_code: if exit == "killed" { None } else { Some(exit.parse().expect("an exit code")) },
        stdout: stdout.to_owned(),
        stderr: stderr.to_owned(),
        name,
    }
}

/// What a verdict says, in the terms of a recording: the variant, why in words, and the cause.
type Judged = (&'static str, String, Option<Cause>);

fn push(verdict: Publication) -> Judged {
    match verdict {
        Publication::Applied => ("Applied", String::new(), None),
        Publication::Stale => ("Stale", String::new(), None),
        Publication::Busy(_) => ("Busy", String::new(), None),
        Publication::Denied(reason) => ("Denied", reason.words, Some(reason.cause)),
        Publication::Doubted(reason) => ("Doubted", reason.words, Some(reason.cause)),
        Publication::Unreachable(reason) => ("Unreachable", reason.words, Some(reason.cause)),
        Publication::Unknown(words) => ("Unknown", words, None),
        other => panic!("no output of git says {other:?}"),
    }
}

fn fetch(verdict: FetchVerdict) -> Judged {
    match verdict {
        FetchVerdict::Fetched => ("Fetched", String::new(), None),
        FetchVerdict::MissingBranch => ("MissingBranch", String::new(), None),
        FetchVerdict::Unreachable(reason) => ("Unreachable", reason.words, Some(reason.cause)),
        FetchVerdict::Denied(reason) => ("Denied", reason.words, Some(reason.cause)),
        FetchVerdict::BrokenCache(words) => ("BrokenCache", words, None),
        FetchVerdict::HubDamaged(words, _) => ("HubDamaged", words, None),
        FetchVerdict::Failed(words) => ("Failed", words, None),
    }
}

/// Compares the variant, the cause and, where the recording asks for it, the words.
fn mismatch(recording: &Recording, (variant, words, cause): &Judged) -> Option<String> {
    let reason_fits = recording.reason.as_ref().is_none_or(|asked| words.contains(asked.as_str()));
    let is_clean = !words.contains(char::is_control) && words.chars().count() <= REASON_CHARS_MAX;
    let cause = cause.map(Cause::word);
    let is_right = variant == &recording.expect && cause == recording.cause.as_deref();
    (!is_right || !reason_fits || !is_clean).then(|| {
        format!(
            "{}\n  expected {} {:?} {:?}\n  found    {variant} {cause:?} {words:?}",
            recording.name, recording.expect, recording.cause, recording.reason
        )
    })
}

#[test]
fn a_push_is_applied_only_when_every_branch_was_answered() {
    let main = " \tabc:refs/heads/main\told..new\n";
    let beat = "+\tdef:refs/heads/heartbeat-a\told...new (forced update)\n";
    let judged = |stdout: &str| classify_push((&["main", "heartbeat-a"], &[]), Some(0), stdout, "");
    assert_eq!(judged(&format!("To hub\n{main}{beat}Done\n")), Publication::Applied);
    for stdout in [main, beat, "Done\n", " \tabc:refs/heads/maintenance\told..new\n"] {
        assert!(matches!(judged(stdout), Publication::Unknown(_)), "{stdout:?}: {:?}", judged(stdout));
    }
}

#[test]
fn every_recorded_push_is_judged_right() {
    let wrong: Vec<String> = recordings("push")
        .iter()
        .filter_map(|r| mismatch(r, &push(classify_push((&[], &[]), r.exit_code, &r.stdout, &r.stderr))))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_recorded_fetch_is_judged_right() {
    let wrong: Vec<String> = recordings("fetch")
        .iter()
        .filter_map(|r| mismatch(r, &fetch(classify_fetch(r.exit_code, &r.stdout, &r.stderr))))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_killed_push_is_never_called_a_failure_unless_its_lines_say_so() {
    for r in recordings("push") {
        let verdict = classify_push((&[], &[]), None, &r.stdout, &r.stderr);
        let has_lines = r.stdout.lines().any(|line| line.contains('\t'));
        assert!(has_lines || matches!(verdict, Publication::Unknown(_)), "{}: {verdict:?}", r.name);
    }
}

#[test]
fn a_push_cut_anywhere_in_its_output_is_never_called_applied_too_early() {
    for r in recordings("push").iter().filter(|r| r.expect != "Applied") {
        for end in (0..r.stdout.len()).filter(|end| r.stdout.is_char_boundary(*end)) {
            let verdict = classify_push((&[], &[]), None, &r.stdout[..end], "");
            assert!(verdict != Publication::Applied, "{} cut at {end}", r.name);
        }
    }
}

#[test]
fn without_its_output_no_push_is_final() {
    for code in [None, Some(0), Some(1), Some(128), Some(255)] {
        assert!(matches!(classify_push((&[], &[]), code, "", ""), Publication::Unknown(_)), "{code:?}");
        assert!(matches!(classify_push((&[], &[]), code, "Done\n", ""), Publication::Unknown(_)), "{code:?}");
    }
}

#[test]
fn a_reason_is_one_clean_bounded_line() {
    let stderr = format!("remote: \u{1b}[31m{}\u{202e}\u{9b}\u{7}\r\n", "é".repeat(400));
    let stdout = "!\ta:refs/heads/main\t[remote rejected] (pre-receive hook declined)\n";
    let Publication::Denied(reason) = classify_push((&[], &[]), Some(1), stdout, &stderr) else {
        panic!("a hook's refusal is final");
    };
    assert_eq!(reason.words.chars().count(), REASON_CHARS_MAX);
    assert!(reason.words.ends_with('…') && !reason.words.contains(char::is_control), "{reason}");
}

#[test]
fn every_line_of_a_push_has_its_verdict() {
    let denied = |why: &str| Publication::Denied(rejected(why, why, ""));
    let unknown = |why: &str| Publication::Unknown(why.to_owned());
    for (line, verdict) in [
        ("=\ta:refs/heads/main\t[up to date]", Some(unknown("up to date"))),
        ("?\ta:refs/heads/main\t[never seen]", Some(unknown("[never seen]"))),
        ("To\thub\tand on", None),
        ("!\ta:refs/heads/main\t[rejected] (stale info)", Some(Publication::Stale)),
        ("!\ta:refs/heads/main\t[rejected] (would clobber it)", Some(denied("would clobber it"))),
        ("!\ta:refs/heads/main\t[remote failure] (stale info)", Some(unknown("stale info"))),
    ] {
        assert_eq!(judge_ref(line, &[], ""), verdict, "{line}");
    }
    let stays = "=\ta:refs/heads/main\t[up to date]";
    assert_eq!(judge_ref(stays, &["main"], ""), None, "it was to stay");
    let told = |rest: &str| {
        let stdout = format!("To hub\n{stays}\n{rest}\nDone\n");
        classify_push((&["heartbeat-a"], &["main"]), Some(i32::from(rest.starts_with('!'))), &stdout, "")
    };
    assert_eq!(told("+\ta:refs/heads/heartbeat-a\t1...2 (forced update)"), Publication::Applied);
    let declined = told("!\ta:refs/heads/heartbeat-a\t[remote rejected] (hook declined)");
    assert!(matches!(declined, Publication::Denied(_)), "{declined:?}");
    assert_eq!(judge_ref(stays, &["heartbeat-a"], ""), Some(unknown("up to date")));
    let applied = || vec![Publication::Applied, Publication::Applied];
    assert_eq!(combine(applied(), true), Publication::Applied);
    assert_eq!(combine(applied(), false), unknown(PUSH_KILLED));
    assert_eq!(
        combine(vec![Publication::Applied, Publication::Stale], true),
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
        let reason = turned_away(GitAction::Fetch, stderr);
        assert_eq!(reason.map(|reason| reason.words).as_deref(), expected, "{stderr}");
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
