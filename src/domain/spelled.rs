//! A piece of JSON in which each text and each number keeps the spelling in which it was found.
//!
//! The same text can be spelled in many ways (`é` and `\u00e9`, `/` and `\/`), and half a character
//! (`\udce9`, which some writers make of bytes that are no text) has no other spelling at all. An
//! edit must not touch what it does not change, so it is carried into this and not into values.
//! Takes only what was read as JSON before, and so within the bound of nesting.

use serde_json::Value;
use std::borrow::Cow;

/// One value, with its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spelled {
    /// Members in their order, each under its name as it is spelled, with quotes.
    Object(Vec<(String, Self)>),
    /// Items.
    List(Vec<Self>),
    /// A text, a number, a truth value or null, as it is spelled.
    Plain(String),
}

impl Spelled {
    /// What `text` spells, which is JSON; of anything else as much as can be made out.
    #[must_use]
    pub fn read(text: &str) -> Self {
        Reader { rest: text }.value()
    }

    /// A value in our own spelling.
    #[must_use]
    pub fn of(value: &Value) -> Self {
        match value {
            Value::Object(members) => {
                Self::Object(members.iter().map(|(name, value)| (quoted(name), Self::of(value))).collect())
            }
            Value::Array(items) => Self::List(items.iter().map(Self::of).collect()),
            plain => Self::Plain(plain.to_string()),
        }
    }

    /// Carries the change from `before` to `after`, two looks at what this spells, into it and touches
    /// nothing else: unknown fields at any depth, the order of keys and the spelling of unchanged
    /// values stay as they are. Only an object inside that gets another `id` is replaced as a whole.
    pub fn patch(&mut self, before: &Value, after: &Value) {
        if before == after {
            return;
        }
        match (self, before, after) {
            (Self::Object(members), Value::Object(before), Value::Object(after)) => {
                for (name, new) in after {
                    match (before.get(name), member(members, name)) {
                        (Some(old), _) if old == new => {}
                        (Some(old), Some(present)) if is_another(old, new) => *present = Self::of(new),
                        (old, Some(present)) => present.patch(old.unwrap_or(&Value::Null), new),
                        (_, None) => members.push((quoted(name), Self::of(new))),
                    }
                }
                let is_gone = |name: &str| before.contains_key(name) && !after.contains_key(name);
                members.retain(|(name, _)| !is_gone(&plain_name(name)));
            }
            (Self::List(items), Value::Array(before), Value::Array(after)) if items.len() == before.len() => {
                items.truncate(after.len());
                for (index, new) in after.iter().enumerate() {
                    match (items.get_mut(index), before.get(index)) {
                        (Some(present), Some(old)) => present.patch(old, new),
                        _ => items.push(Self::of(new)),
                    }
                }
            }
            (spelled, _, after) => *spelled = Self::of(after),
        }
    }

    /// As two-space JSON whose lines after the first are indented by `indent` more spaces.
    #[must_use]
    pub fn layout(&self, indent: usize) -> String {
        let mut out = String::new();
        self.lay_out(indent, &mut out);
        out
    }

    fn lay_out(&self, indent: usize, out: &mut String) {
        let line = |out: &mut String, index: usize, indent: usize| {
            out.push_str(if index == 0 { "\n" } else { ",\n" });
            out.extend(std::iter::repeat_n(' ', indent));
        };
        let end = |out: &mut String, bracket: char| {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            out.push(bracket);
        };
        match self {
            Self::Plain(text) => out.push_str(text),
            Self::Object(members) if members.is_empty() => out.push_str("{}"),
            Self::List(items) if items.is_empty() => out.push_str("[]"),
            Self::Object(members) => {
                out.push('{');
                for (index, (name, value)) in members.iter().enumerate() {
                    line(out, index, indent + 2);
                    out.push_str(name);
                    out.push_str(": ");
                    value.lay_out(indent + 2, out);
                }
                end(out, '}');
            }
            Self::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    line(out, index, indent + 2);
                    item.lay_out(indent + 2, out);
                }
                end(out, ']');
            }
        }
    }
}

/// Whether what describes one thing now describes another: what is unknown of the one says nothing
/// about the other.
fn is_another(before: &Value, after: &Value) -> bool {
    matches!((before.get("id"), after.get("id")), (Some(before), Some(after)) if before != after)
}

/// The member that counts under a name: of two the last, as everywhere.
fn member<'a>(members: &'a mut [(String, Spelled)], name: &str) -> Option<&'a mut Spelled> {
    members.iter_mut().rev().find(|(spelled, _)| plain_name(spelled) == name).map(|(_, value)| value)
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// The text that a spelled one means; what is no Unicode in it is the replacement sign.
#[must_use]
pub fn plain_name(spelled: &str) -> Cow<'_, str> {
    let inner = spelled.trim_matches('"');
    if !spelled.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let whole = whole_characters(spelled);
    let read = serde_json::from_str(whole.as_deref().unwrap_or(spelled));
    read.map_or_else(|_| Cow::Owned(inner.to_owned()), Cow::Owned)
}

/// The members of an object in their order: each name and value as it is spelled.
#[must_use]
pub fn members(json: &str) -> Vec<(&str, &str)> {
    Reader { rest: json.trim_start() }.several('}', |reader| {
        let name = reader.plain();
        reader.skip(':');
        (name, reader.whole())
    })
}

/// Reads JSON that is known to be some.
struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn value(&mut self) -> Spelled {
        self.skip_space();
        match self.rest.as_bytes().first() {
            Some(b'{') => Spelled::Object(self.several('}', |reader| {
                let name = reader.plain().to_owned();
                reader.skip(':');
                (name, reader.value())
            })),
            Some(b'[') => Spelled::List(self.several(']', Self::value)),
            _ => Spelled::Plain(self.plain().to_owned()),
        }
    }

    /// What stands between brackets.
    fn several<T>(&mut self, end: char, mut read: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let mut found = Vec::new();
        self.cut(1);
        loop {
            self.skip_space();
            if self.rest.is_empty() || self.skip(end) {
                return found;
            }
            let before = self.rest.len();
            found.push(read(self));
            if !self.skip(',') && self.rest.len() == before {
                // No JSON: nothing more can be made out.
                self.rest = "";
            }
        }
    }

    /// A text with its quotes, or what stands up to the next sign of the layout.
    fn plain(&mut self) -> &'a str {
        self.skip_space();
        let is_end = |c: char| c.is_ascii_whitespace() || matches!(c, ',' | ':' | ']' | '}');
        let end = match self.rest.strip_prefix('"') {
            Some(text) => end_of_text(text) + 1,
            None => self.rest.find(is_end).unwrap_or(self.rest.len()),
        };
        self.cut(end)
    }

    /// A value as it stands there.
    fn whole(&mut self) -> &'a str {
        self.skip_space();
        if !self.rest.starts_with(['{', '[']) {
            return self.plain();
        }
        let (mut depth, mut at) = (0_usize, 0);
        while let Some(rest) = self.rest.get(at..).filter(|rest| !rest.is_empty()) {
            let Some(next) = rest.find(['{', '[', ']', '}', '"']) else { break };
            at += next + 1;
            match rest.as_bytes().get(next) {
                Some(b'"') => at += self.rest.get(at..).map_or(0, end_of_text),
                Some(b'{' | b'[') => depth += 1,
                _ if depth <= 1 => return self.cut(at),
                _ => depth -= 1,
            }
        }
        self.cut(self.rest.len())
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn skip(&mut self, sign: char) -> bool {
        self.skip_space();
        let rest = self.rest.strip_prefix(sign);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn cut(&mut self, length: usize) -> &'a str {
        let (cut, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        self.rest = rest;
        cut
    }
}

/// Up to where a text goes whose opening quote was read, with its closing one.
fn end_of_text(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The digits of an escape such as `\udce9` and how many bytes it takes.
const ESCAPE_LENGTH: usize = 6;

/// `json` with a replacement sign for each half of a character, in no more bytes; `None` when
/// there is none.
#[must_use]
pub fn whole_characters(json: &str) -> Option<String> {
    let mut out = String::new();
    let mut is_whole = !json.contains(is_foreign);
    let json: Cow<'_, str> = if is_whole { json.into() } else { json.replace(is_foreign, "\u{fffd}").into() };
    let mut rest = &*json;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let length = match (surrogate(escape), escape.get(ESCAPE_LENGTH..).and_then(surrogate)) {
            (Some(Surrogate::First), Some(Surrogate::Second)) => 2 * ESCAPE_LENGTH,
            (Some(_), _) => {
                is_whole = false;
                out.push_str("\\ufffd");
                rest = escape.get(ESCAPE_LENGTH..).unwrap_or_default();
                continue;
            }
            // What follows a backslash is no beginning of another escape.
            (None, _) => escape.char_indices().nth(2).map_or(escape.len(), |(at, _)| at),
        };
        let (whole, after) = escape.split_at(length);
        out.push_str(whole);
        rest = after;
    }
    out.push_str(rest);
    (!is_whole).then_some(out)
}

/// Whether a sign stands for a byte that is no text: see `legible` in `json.rs`.
#[must_use]
pub fn is_foreign(sign: char) -> bool {
    FOREIGN.contains(&sign)
}

/// The signs that stand for the bytes 0x80 to 0xff: the last of those that mean nothing by themselves.
pub const FOREIGN: std::ops::RangeInclusive<char> = '\u{10ff80}'..='\u{10ffff}';

/// JSON in which each byte that is no text is spelled as the half of a character that other programs
/// make of it (`\udce9` for 0xe9).
#[must_use]
pub fn without_foreign(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for sign in json.chars() {
        match u32::from(sign).checked_sub(u32::from(*FOREIGN.start())).filter(|_| is_foreign(sign)) {
            Some(byte) => out.push_str(&format!("\\udc{:02x}", byte + 0x80)),
            None => out.push(sign),
        }
    }
    out
}

/// A half of a character that UTF-16 spells in two.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Surrogate {
    First,
    Second,
}

fn surrogate(escape: &str) -> Option<Surrogate> {
    let digits = escape.strip_prefix("\\u")?.get(..4)?;
    match u16::from_str_radix(digits, 16).ok()? {
        0xd800..=0xdbff => Some(Surrogate::First),
        0xdc00..=0xdfff => Some(Surrogate::Second),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn patched(raw: &str, before: &Value, after: &Value) -> String {
        let mut spelled = Spelled::read(raw);
        spelled.patch(before, after);
        spelled.layout(0).split_whitespace().collect()
    }

    #[test]
    fn what_is_unknown_of_one_job_is_not_told_of_the_next() {
        for (before, after, expected) in [
            (json!({"id": "a"}), json!({"id": "b"}), r#"{"job":{"id":"b"}}"#),
            (json!({"id": "a", "x": 1}), json!({"id": "a", "x": 2}), r#"{"job":{"id":"a","x":2,"log":"l"}}"#),
        ] {
            let mut raw = json!({"job": before.clone()});
            raw["job"]["log"] = json!("l");
            let raw = raw.to_string();
            assert_eq!(patched(&raw, &json!({"job": before}), &json!({"job": after})), expected);
        }
    }

    #[test]
    fn a_patch_keeps_what_it_does_not_know() {
        let raw = r#"{"future": 1, "id": "a", "load": {"cpu": 0.5, "gpu": [1, {"x": 2}]}, "gone": 1}"#;
        let before = json!({"id": "a", "load": {"cpu": 0.5}, "gone": 1});
        let after = json!({"id": "b", "load": {"cpu": 0.7}, "new": true});
        assert_eq!(
            patched(raw, &before, &after),
            r#"{"future":1,"id":"b","load":{"cpu":0.7,"gpu":[1,{"x":2}]},"new":true}"#
        );
    }

    #[test]
    fn a_patch_keeps_unknown_fields_inside_lists() {
        assert_eq!(
            patched(
                r#"{"acks": [{"who": "a", "why": "x"}, {"who": "b"}]}"#,
                &json!({"acks": [{"who": "a"}, {"who": "b"}]}),
                &json!({"acks": [{"who": "a"}, {"who": "c"}, {"who": "d"}]}),
            ),
            r#"{"acks":[{"who":"a","why":"x"},{"who":"c"},{"who":"d"}]}"#
        );
    }

    #[test]
    fn a_list_of_another_length_than_was_read_is_replaced() {
        let raw = r#"[{"note": 1}, {"by": "a", "note": 2}]"#;
        let replaced = patched(raw, &json!([{"by": "a"}]), &json!([{"by": "b"}]));
        assert_eq!(replaced, r#"[{"by":"b"}]"#, "nobody knows which note was whose");
    }

    #[test]
    fn what_a_patch_does_not_change_keeps_its_spelling_at_every_depth() {
        let raw = r#"{"n":1,"a\u0062":{"p":"a\/b","d":"\u2013","e":["\u00e9",1.50,"\udce9"]},"x":1,"x":2}"#;
        let before = json!({"n": 1, "ab": {"d": "\u{2013}"}});
        let after = json!({"n": 2, "ab": {"d": "\u{2013}", "f": "\u{2013}"}});
        assert_eq!(
            patched(raw, &before, &after),
            "{\"n\":2,\"a\\u0062\":{\"p\":\"a\\/b\",\"d\":\"\\u2013\",\"e\":[\"\\u00e9\",1.50,\"\\udce9\"],\"f\":\"\u{2013}\"},\"x\":1,\"x\":2}"
        );
    }

    #[test]
    fn it_is_laid_out_as_everything_else() {
        for value in [
            json!({}),
            json!([]),
            json!({"a": [], "b": {}, "c": [1, {"d": null}]}),
            json!("x\"\\"),
            json!([[[]]]),
        ] {
            let pretty = serde_json::to_string_pretty(&value).expect("json");
            assert_eq!(Spelled::read(&value.to_string()).layout(0), pretty);
            assert_eq!(Spelled::read(&pretty).layout(0), pretty);
            assert_eq!(Spelled::of(&value).layout(0), pretty);
        }
        assert_eq!(
            Spelled::read("[1, {\"a\":\t2}]").layout(2),
            "[\n    1,\n    {\n      \"a\": 2\n    }\n  ]"
        );
    }

    #[test]
    fn half_a_character_is_told_from_a_whole_one() {
        for (json, expected) in [
            (r#""\udce9""#, Some(r#""\ufffd""#)),
            (r#""a\ud800b\uD83D\uDE00c\uDE00""#, Some(r#""a\ufffdb\uD83D\uDE00c\ufffd""#)),
            (r#""\ud83d\ud83d\ude00""#, Some(r#""\ufffd\ud83d\ude00""#)),
            (r#""\ud83d\ude00""#, None),
            (r#""\\udce9 \" \/ \u00e9""#, None),
            (r#""\ud8""#, None),
            ("é", None),
            ("\\", None),
            ("\\é", None),
        ] {
            assert_eq!(whole_characters(json).as_deref(), expected, "{json}");
        }
        assert_eq!(plain_name(r#""a\udce9b""#), "a\u{fffd}b");
        assert_eq!(plain_name(r#""a\u0062""#), "ab");
    }

    #[test]
    fn members_are_found_as_they_are_spelled() {
        let text = r#" { "a\u0062" : {"x":["]}",{}]} ,"c":1.50,"d":[] , "e": "\"}" } "#;
        let expected = [
            (r#""a\u0062""#, r#"{"x":["]}",{}]}"#),
            (r#""c""#, "1.50"),
            (r#""d""#, "[]"),
            (r#""e""#, r#""\"}""#),
        ];
        assert_eq!(members(text), expected);
        assert!(members("{}").is_empty() && members("").is_empty());
    }

    #[test]
    fn what_is_no_json_neither_panics_nor_goes_on_for_ever() {
        for text in
            ["", "{", "[", "{\"a\"", "{\"a\":", "[1 2", "[,]", "{]", "\"a", "[\"\\", "}}", "[::]", "{\"é"]
        {
            drop((Spelled::read(text).layout(0), members(text).len()));
        }
    }

    #[test]
    fn a_byte_that_is_no_text_is_spelled_as_other_programs_read_it() {
        for (text, spelled) in [
            ("\"caf\u{10ffe9}\"", r#""caf\udce9""#),
            ("\u{10ff80}\u{10ffff}", r"\udc80\udcff"),
            ("\"\u{e9} \u{10ff7f} \\udce9\"", "\"\u{e9} \u{10ff7f} \\udce9\""),
            ("", ""),
        ] {
            assert_eq!(without_foreign(text), spelled);
        }
    }
}
