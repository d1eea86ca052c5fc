//! How a hub behind a connection names its objects, where it has no branch of ours that would tell.
//!
//! git compares the formats when it sends or takes an object. From a hub that is empty it takes none, and
//! nothing but the packets of the protocol says what an object would be named by.

use super::program::GitProgram;
use crate::ledger::{Cause, Reason};
use crate::machine::Deadline;
use std::path::Path;

/// What comes before the format in the packets.
const KEY: &str = "object-format=";

/// The format that this program can use.
const OURS: &str = "sha1";

/// Why `origin` of the repository at `directory` cannot be used for what its objects are named by; nothing
/// where that is not told. `options` go before the verb.
pub(super) fn refusal(
    git: &GitProgram,
    directory: &Path,
    options: &[String],
    deadline: &Deadline,
) -> Option<Reason> {
    let ask = ["ls-remote", "origin", "HEAD"].map(str::to_owned);
    let words: Vec<String> = options.iter().cloned().chain(ask).collect();
    let shown = [("GIT_TRACE_PACKET", "1".to_owned())];
    let done = git.run_with(directory, &words, &shown, deadline).ok()?;
    let format = foreign(&done.stderr)?;
    Some(Reason::of(Cause::ObjectFormat, format!("its objects have the format `{format}`")))
}

/// The format that the other side names in what git shows of the packets, if it is not ours.
fn foreign(shown: &str) -> Option<&str> {
    let received = shown.lines().filter_map(|line| line.split_once("packet:")?.1.split_once("< "));
    let named = received.filter_map(|(_, packet)| packet.split_once(KEY).map(|(_, rest)| rest));
    let formats = named.map(|rest| {
        let end = rest.find(|char: char| !char.is_ascii_alphanumeric()).unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default()
    });
    formats.filter(|format| !format.is_empty()).find(|format| *format != OURS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_read_from_what_the_other_side_sends() {
        let line = |who: &str, packet: &str| format!("13:07:51.07 pkt-line.c:86   packet:  {who} {packet}\n");
        for (shown, expected) in [
            (line("ls-remote<", "object-format=sha256"), Some("sha256")),
            (
                line("ls-remote<", "0000 capabilities^{}\\0agent=git/2 object-format=sha256 symref=x"),
                Some("sha256"),
            ),
            (line("ls-remote<", "object-format=sha1"), None),
            (line("ls-remote<", "agent=git/2.47"), None),
            // What we send, and what a greeting says, tells nothing of the hub.
            (line("ls-remote>", "object-format=sha256"), None),
            ("object-format=sha256\n".to_owned(), None),
            (line("ls-remote<", "object-format="), None),
        ] {
            assert_eq!(foreign(&shown), expected, "{shown}");
        }
    }
}
