//! What a job prints: stamped line by line, with secrets masked, and capped, in memory that does
//! not grow.
//!
//! Bytes are kept as they came, whatever they are; only a stamp is added before each line. Of what
//! is too much the middle is cut, visibly: the beginning tells what was run, the end what went wrong.

use crate::domain::time::Timestamp;
use std::collections::VecDeque;

/// How much of a log is kept unless told.
pub const LOG_BYTES_MAX: usize = 1024 * 1024;

/// The longest line that is waited for; a longer one is taken in parts.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// What stands in the place of a secret.
const MASK: &[u8] = b"***";

/// The longest line of a secret.
pub const SECRET_BYTES_MAX: usize = LINE_BYTES_MAX / 4;

/// The shortest secret: masking every `a` would tell more than it hides.
pub const SECRET_BYTES_MIN: usize = 4;

/// A log while it grows.
#[derive(Debug)]
pub(super) struct Log {
    head: Vec<u8>,
    head_max: usize,
    tail: VecDeque<u8>,
    tail_max: usize,
    /// How many bytes were dropped between head and tail.
    cut: u64,
    /// The line that has not ended yet.
    line: Vec<u8>,
    /// Whether the line's beginning was taken already.
    is_continued: bool,
    secrets: Vec<Vec<u8>>,
    /// How many bytes came in.
    taken: u64,
}

impl Log {
    /// An empty log of at most `bytes_max` bytes, in which none of `secrets` appears. A secret of
    /// several lines is masked line by line.
    #[must_use]
    pub(super) fn new(bytes_max: usize, secrets: &[String]) -> Self {
        let lines = secrets.iter().flat_map(|secret| secret.lines());
        let mut secrets: Vec<Vec<u8>> = lines
            .filter(|line| line.len() >= SECRET_BYTES_MIN)
            .map(|line| line.as_bytes().to_vec())
            .collect();
        // A secret that holds another is looked for first.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        let head_max = bytes_max / 4;
        Self {
            head: Vec::new(),
            head_max,
            tail: VecDeque::new(),
            tail_max: bytes_max - head_max,
            cut: 0,
            line: Vec::new(),
            is_continued: false,
            secrets,
            taken: 0,
        }
    }

    /// Takes what came at `now`.
    pub(super) fn take(&mut self, bytes: &[u8], now: Timestamp) {
        self.taken = self.taken.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                self.keep(&line, now);
                self.is_continued = false;
            } else if self.line.len() > LINE_BYTES_MAX {
                let rest = self.line.split_off(self.safe_cut());
                let line = std::mem::replace(&mut self.line, rest);
                self.keep(&line, now);
                self.is_continued = true;
            }
        }
    }

    /// Takes a line of our own.
    pub(super) fn say(&mut self, text: &str, now: Timestamp) {
        self.end(now);
        self.take(format!("git-muster: {text}\n").as_bytes(), now);
    }

    /// Nothing more comes, or not on this line.
    pub(super) fn end(&mut self, now: Timestamp) {
        if !self.line.is_empty() || self.is_continued {
            self.take(b"\n", now);
        }
    }

    /// Changes whenever something was taken.
    #[must_use]
    pub(super) fn version(&self) -> u64 {
        self.taken
    }

    /// Where the line can be cut: not within a secret, nor within what may be the beginning of one.
    fn safe_cut(&self) -> usize {
        let held = self.secrets.first().map_or(0, |secret| secret.len() - 1);
        let cut = self.line.len().saturating_sub(held);
        let mut at = 0;
        while at < cut {
            let rest = self.line.get(at..).unwrap_or_default();
            let length = self.secrets.iter().find(|secret| rest.starts_with(secret)).map_or(1, Vec::len);
            if at + length > cut {
                return at;
            }
            at += length;
        }
        cut
    }

    fn keep(&mut self, line: &[u8], now: Timestamp) {
        let masked = mask(line, &self.secrets);
        if !self.is_continued {
            self.push(format!("{now} ").as_bytes());
        }
        self.push(&masked);
    }

    fn push(&mut self, bytes: &[u8]) {
        let room = self.head_max - self.head.len();
        let (first, rest) = bytes.split_at(room.min(bytes.len()));
        self.head.extend_from_slice(first);
        self.tail.extend(rest);
        let over = self.tail.len().saturating_sub(self.tail_max);
        self.tail.drain(..over);
        self.cut = self.cut.saturating_add(u64::try_from(over).unwrap_or(u64::MAX));
    }

    /// The log as a file.
    #[must_use]
    pub(super) fn render(&self) -> Vec<u8> {
        let mut file = self.head.clone();
        let (first, second) = self.tail.as_slices();
        let tail = [first, second].concat();
        if self.cut == 0 {
            file.extend_from_slice(&tail);
            return file;
        }
        // From the next whole line on, if there is one.
        let start = tail.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let dropped = self.cut.saturating_add(u64::try_from(start).unwrap_or(0));
        if !file.ends_with(b"\n") {
            file.push(b'\n');
        }
        file.extend_from_slice(format!("git-muster: ... {dropped} bytes are cut here ...\n").as_bytes());
        file.extend_from_slice(tail.get(start..).unwrap_or_default());
        file
    }
}

/// A text of our own with every one of `secrets` masked.
pub(super) fn mask_text(text: &str, secrets: &[String]) -> String {
    let mut secrets: Vec<Vec<u8>> = secrets.iter().map(|secret| secret.as_bytes().to_vec()).collect();
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    String::from_utf8_lossy(&mask(text.as_bytes(), &secrets)).into_owned()
}

/// `line` with every secret masked.
fn mask(line: &[u8], secrets: &[Vec<u8>]) -> Vec<u8> {
    let mut masked = Vec::with_capacity(line.len());
    // Up to where the line is part of a secret: they may overlap.
    let mut end = 0;
    for (at, byte) in line.iter().enumerate() {
        let rest = line.get(at..).unwrap_or_default();
        if let Some(secret) = secrets.iter().find(|secret| rest.starts_with(secret)) {
            if at >= end {
                masked.extend_from_slice(MASK);
            }
            end = end.max(at + secret.len());
        }
        if at >= end {
            masked.push(*byte);
        }
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_unix_millis(1_761_739_200_000 + second * 1000).expect("time")
    }

    fn log(bytes_max: usize, secrets: &[&str]) -> Log {
        Log::new(bytes_max, &secrets.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn each_line_is_stamped_when_it_ends() {
        let mut log = log(10_000, &[]);
        log.take(b"one\ntw", at(0));
        log.take(b"o\n\xff\xfe\n", at(1));
        log.take(b"no end", at(2));
        log.end(at(3));
        log.say("over", at(4));
        let expected = [
            b"2025-10-29T12:00:00Z one\n2025-10-29T12:00:01Z two\n2025-10-29T12:00:01Z \xff\xfe\n".as_slice(),
            b"2025-10-29T12:00:03Z no end\n2025-10-29T12:00:04Z git-muster: over\n",
        ]
        .concat();
        assert_eq!(String::from_utf8_lossy(&log.render()), String::from_utf8_lossy(&expected));
        assert_eq!(log.render(), expected);
    }

    #[test]
    fn secrets_are_masked_wherever_they_are_cut() {
        let mut log = log(1_000_000, &["hunter22", "hunter22-more", "first\nsecond", "abc"]);
        log.take(b"x hun", at(0));
        log.take(b"ter22 hunter22-more second abc\n", at(0));
        // The line is cut within the secret, wherever that lies: at no whole number of it.
        for end in [LINE_BYTES_MAX, 66_000] {
            let rest = vec![b'y'; 2000];
            let long = [vec![b'x'; end - 3], b"hunter22".to_vec(), rest, b" end\n".to_vec()].concat();
            for piece in long.chunks(1000) {
                log.take(piece, at(0));
            }
        }
        for piece in [b"x".to_vec(), b"hunter22".repeat(40_000)].concat().chunks(1000) {
            log.take(piece, at(0));
        }
        log.take(b"\n", at(0));
        let text = String::from_utf8(log.render()).expect("text");
        assert!(text.starts_with("2025-10-29T12:00:00Z x *** *** *** abc\n"), "{}", &text[..60]);
        let parts: Vec<&str> = text.split("***y").collect();
        assert_eq!(parts.len(), 3, "{} parts", parts.len());
        assert!(parts[1].ends_with('x') && parts[2].contains("y end\n"));
        assert!(["hunter", "er22"].iter().all(|part| !text.contains(part)), "{}", &text[text.len() - 30..]);
    }

    #[test]
    fn secrets_that_overlap_are_masked_together() {
        let mut log = log(1000, &["alpha-12345", "12345-omega", "aaaa"]);
        log.take(b"x alpha-12345-omega y aaaaaa 12345-omegaaaa\n", at(0));
        let text = String::from_utf8(log.render()).expect("text");
        assert_eq!(text, "2025-10-29T12:00:00Z x *** y *** ***\n");
    }

    #[test]
    fn the_middle_of_too_much_is_cut_and_memory_does_not_grow() {
        let mut log = log(4000, &[]);
        for number in 0..100_000 {
            log.take(format!("{number}\n").as_bytes(), at(0));
        }
        let text = String::from_utf8(log.render()).expect("text");
        assert!(text.len() < 4000 + 60, "{}", text.len());
        assert!(text.starts_with("2025-10-29T12:00:00Z 0\n") && text.ends_with("Z 99999\n"), "{text}");
        let cut = text.lines().find(|line| line.contains("bytes are cut here")).expect("a visible cut");
        let dropped: usize = cut.split(' ').nth(2).and_then(|number| number.parse().ok()).expect("a number");
        let kept: usize = text.lines().filter(|line| *line != cut).map(|line| line.len() + 1).sum();
        let whole: usize = (0..100_000).map(|number: u32| 22 + number.to_string().len()).sum();
        assert!(kept + dropped == whole || kept + dropped == whole + 1, "{kept} {dropped} {whole}");
        assert!(log.tail.capacity() < 16_000 && log.head.capacity() < 16_000);
    }

    #[test]
    fn a_line_without_end_is_taken_in_parts() {
        let mut log = log(1_000_000, &[]);
        for _ in 0..300 {
            log.take(&[b'y'; 1000], at(0));
        }
        assert!(log.line.len() <= LINE_BYTES_MAX);
        log.end(at(1));
        let file = log.render();
        assert_eq!(file.iter().filter(|byte| **byte == b'y').count(), 300_000);
        assert_eq!(file.iter().filter(|byte| **byte == b'\n').count(), 1);
        assert_eq!(file.iter().filter(|byte| **byte == b'Z').count(), 1);
    }
}
