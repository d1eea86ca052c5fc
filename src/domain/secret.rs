//! What looks like a credential and must not be sent.
//!
//! A hub keeps every commit and everybody who can read it can read all of it, so a password in a
//! message is lost for good. This looks for the shapes of well-known keys and for words such as
//! `password` that are given a value. It is a net and no proof: it prefers to let an odd one
//! through over refusing prose, commit ids, check sums and the tokens of locks.
//!
//! One pass per shape, each look ahead or back bounded, so the time is linear in the text.

/// The kind of the first credential found in `text`, for a sentence: `a GitHub token`.
#[must_use]
pub fn credential_in(text: &str) -> Option<&'static str> {
    let finders: &[fn(&str) -> Option<&'static str>] =
        &[private_key, prefixed_key, web_token, url_password, bearer, assignment, flag];
    finders.iter().find_map(|find| find(text))
}

/// How far a look ahead or back goes, in bytes, unless said otherwise.
const LOOK_MAX: usize = 256;
/// The longest header line of a private key up to its kind.
const KEY_HEADER_LENGTH_MAX: usize = 48;
/// The longest name that is looked at before a `=` or `:`.
const NAME_LENGTH_MAX: usize = 64;
/// The most blanks around a `=` or `:`.
const BLANKS_MAX: usize = 8;
/// A value shorter than this is a number, a word or a lock's token.
const VALUE_LENGTH_MIN: usize = 8;

fn private_key(text: &str) -> Option<&'static str> {
    let pem = text.match_indices("-----BEGIN ").any(|(start, head)| {
        let rest = bytes_from(text, start + head.len());
        let line = &rest[..rest.len().min(KEY_HEADER_LENGTH_MAX)];
        line.windows(b"PRIVATE KEY".len()).any(|part| part == b"PRIVATE KEY")
    });
    let other = ["PuTTY-User-Key-File-", "AGE-SECRET-KEY-1"].iter().any(|head| text.contains(head));
    (pem || other).then_some("a private key")
}

/// A key that is known by how it begins.
struct Shape {
    prefix: &'static str,
    kind: &'static str,
    /// Which bytes the rest consists of.
    rest: fn(u8) -> bool,
    /// How long the rest is: at least, at most.
    length: (usize, usize),
}

const fn shape(
    prefix: &'static str,
    kind: &'static str,
    rest: fn(u8) -> bool,
    length: (usize, usize),
) -> Shape {
    Shape { prefix, kind, rest, length }
}

const SHAPES: &[Shape] = &[
    shape("AKIA", "an AWS access key", is_upper_or_digit, (16, 16)),
    shape("ASIA", "an AWS access key", is_upper_or_digit, (16, 16)),
    shape("ghp_", "a GitHub token", is_alphanumeric, (30, LOOK_MAX)),
    shape("gho_", "a GitHub token", is_alphanumeric, (30, LOOK_MAX)),
    shape("ghs_", "a GitHub token", is_alphanumeric, (30, LOOK_MAX)),
    shape("ghu_", "a GitHub token", is_alphanumeric, (30, LOOK_MAX)),
    shape("ghr_", "a GitHub token", is_alphanumeric, (30, LOOK_MAX)),
    shape("github_pat_", "a GitHub token", is_word, (30, LOOK_MAX)),
    shape("glpat-", "a GitLab token", is_word_or_dash, (20, LOOK_MAX)),
    shape("glrt-", "a GitLab token", is_word_or_dash, (20, LOOK_MAX)),
    shape("xoxb-", "a Slack token", is_word_or_dash, (10, LOOK_MAX)),
    shape("xoxa-", "a Slack token", is_word_or_dash, (10, LOOK_MAX)),
    shape("xoxp-", "a Slack token", is_word_or_dash, (10, LOOK_MAX)),
    shape("xoxr-", "a Slack token", is_word_or_dash, (10, LOOK_MAX)),
    shape("xoxs-", "a Slack token", is_word_or_dash, (10, LOOK_MAX)),
    shape("hf_", "a Hugging Face token", is_alphanumeric, (30, LOOK_MAX)),
    shape("sk-", "an API key", is_word_or_dash, (32, LOOK_MAX)),
    shape("sk_live_", "an API key", is_alphanumeric, (16, LOOK_MAX)),
    shape("rk_live_", "an API key", is_alphanumeric, (16, LOOK_MAX)),
    shape("AIza", "an API key", is_word_or_dash, (35, 35)),
    shape("npm_", "an API key", is_alphanumeric, (36, 36)),
    shape("dop_v1_", "an API key", is_alphanumeric, (64, 64)),
];

fn prefixed_key(text: &str) -> Option<&'static str> {
    SHAPES
        .iter()
        .find(|shape| text.match_indices(shape.prefix).any(|(at, _)| shape.fits(text, at)))
        .map(|shape| shape.kind)
}

impl Shape {
    fn fits(&self, text: &str, at: usize) -> bool {
        if byte_before(text, at).is_some_and(|before| before.is_ascii_alphanumeric()) {
            return false;
        }
        let rest = bytes_from(text, at + self.prefix.len());
        let length = rest.iter().take(LOOK_MAX).take_while(|byte| (self.rest)(**byte)).count();
        let (shortest, longest) = self.length;
        length >= shortest && length <= longest && looks_drawn(&rest[..length], self.prefix)
    }
}

/// Whether the rest of a key looks drawn at random: not a filler, and where words joined by
/// dashes or a uuid could stand, a digit and a long stretch without a dash.
fn looks_drawn(rest: &[u8], prefix: &str) -> bool {
    let Some(first) = rest.first() else {
        return false;
    };
    if rest.iter().all(|byte| byte.eq_ignore_ascii_case(first)) {
        return false;
    }
    let has_digit = rest.iter().any(u8::is_ascii_digit);
    match prefix {
        "sk-" => {
            let alphanumerics = rest.iter().filter(|byte| byte.is_ascii_alphanumeric()).count();
            let mut stretches = rest.split(|byte| !byte.is_ascii_alphanumeric());
            has_digit && alphanumerics >= 32 && stretches.any(|stretch| stretch.len() >= 16)
        }
        prefix if prefix.ends_with('-') => has_digit,
        _ => true,
    }
}

/// Three parts with dots between, the first two of them JSON objects in base64.
fn web_token(text: &str) -> Option<&'static str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || "_-.".contains(c)))
        .any(|word| {
            let parts: Vec<&str> = word.split('.').collect();
            parts.windows(3).any(|three| match three {
                [head, claims, signature] => {
                    [head, claims].iter().all(|part| part.starts_with("eyJ") && part.len() >= 12)
                        && signature.len() >= 16
                }
                _ => false,
            })
        })
        .then_some("a JSON web token")
}

/// `scheme://user:password@host`.
fn url_password(text: &str) -> Option<&'static str> {
    let ends = |c: char| c.is_whitespace() || "/?#\"'`<>|\\".contains(c);
    text.match_indices("://")
        .filter(|(at, _)| byte_before(text, *at).is_some_and(|before| before.is_ascii_alphanumeric()))
        .any(|(at, mark)| {
            let rest = &text[at + mark.len()..];
            // `<password>` is the commonest placeholder and holds an end mark itself.
            let authority = rest.split(ends).next().unwrap_or_default();
            let password = authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':'));
            password.is_some_and(|(_, password)| !password.is_empty() && !is_placeholder(password))
        })
        .then_some("a password in a URL")
}

/// `Bearer` and something long with a digit in it.
fn bearer(text: &str) -> Option<&'static str> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"._~+/=-".contains(&byte);
    ["Bearer ", "bearer ", "BEARER "]
        .iter()
        .flat_map(|head| text.match_indices(head))
        .any(|(at, head)| {
            let rest = bytes_from(text, at + head.len());
            let length = rest.iter().take(LOOK_MAX).take_while(|byte| is_token(**byte)).count();
            length >= 20 && rest[..length].iter().any(u8::is_ascii_digit)
        })
        .then_some("a bearer token")
}

/// Words that, given a value, make it a credential; a name may have more before them. Dashes
/// count as underscores.
const NAMES: &[(&str, &str)] = &[
    ("password", "a password"),
    ("passwd", "a password"),
    ("passphrase", "a password"),
    ("pwd", "a password"),
    ("secret", "a secret"),
    ("api_key", "an API key"),
    ("apikey", "an API key"),
    ("access_key", "an access key"),
    ("secret_key", "a secret key"),
    ("token", TOKEN),
];

const TOKEN: &str = "an access token";

/// `name=value` and `name: value`, in any of the usual spellings.
fn assignment(text: &str) -> Option<&'static str> {
    text.match_indices(['=', ':']).find_map(|(at, _)| {
        let name = name_before(text, at)?;
        let rest = after_sign(&text[at..])?;
        let value = rest.trim_start_matches([' ', '\t']);
        let blanks = rest.len() - value.len();
        if blanks > BLANKS_MAX {
            return None;
        }
        holds_value(name, value, blanks > 0).then_some(name)
    })
}

/// What follows the sign that `text` begins with; `None` when it is no assignment but a
/// comparison or a path.
fn after_sign(text: &str) -> Option<&str> {
    if ["==", "::"].iter().any(|sign| text.starts_with(sign)) {
        return None;
    }
    [":=", "=>", "=", ":"].iter().find_map(|sign| text.strip_prefix(sign))
}

/// `--password value`.
fn flag(text: &str) -> Option<&'static str> {
    text.match_indices("--").find_map(|(at, dashes)| {
        let rest = bytes_from(text, at + dashes.len());
        let length = rest.iter().take(NAME_LENGTH_MAX).take_while(|byte| is_word_or_dash(**byte)).count();
        let (name, value) = text[at + dashes.len()..].split_at(length);
        let kind = kind_of(name)?;
        let value = value.strip_prefix(' ')?;
        holds_value(kind, value, true).then_some(kind)
    })
}

/// The kind of credential whose name ends before the sign at `at`.
fn name_before(text: &str, at: usize) -> Option<&'static str> {
    let before = text.as_bytes().get(..at)?;
    let blanks = before.iter().rev().take(BLANKS_MAX).take_while(|byte| b" \t".contains(byte)).count();
    let before = &before[..at - blanks];
    let before = before.strip_suffix(b"\"").or_else(|| before.strip_suffix(b"'")).unwrap_or(before);
    let before = before.strip_suffix(b"\\").unwrap_or(before);
    let length = before.iter().rev().take(NAME_LENGTH_MAX).take_while(|byte| is_word_or_dash(**byte)).count();
    kind_of(std::str::from_utf8(&before[before.len() - length..]).ok()?)
}

fn kind_of(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase().replace('-', "_");
    NAMES.iter().find(|(word, _)| name.ends_with(word)).map(|(_, kind)| *kind)
}

/// Whether a credential of this kind begins at the beginning of `text`. After a blank it may as
/// well be prose or a declaration, so there it has to look like one.
fn holds_value(kind: &str, text: &str, after_blank: bool) -> bool {
    // JSON inside JSON: the quotes come with a backslash.
    let text = text.strip_prefix('\\').unwrap_or(text);
    let (value, certain) = match quoted(text) {
        Some(value) => (value, !value.contains(' ')),
        None => (text, !after_blank),
    };
    let value = first_word(value);
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
    value.chars().count() >= VALUE_LENGTH_MIN
        && !is_placeholder(value)
        && !is_reference(value)
        && (kind != TOKEN || !is_number)
        && (certain || looks_chosen(value))
}

/// What stands between the quotes that `text` begins with.
fn quoted(text: &str) -> Option<&str> {
    let quote = text.chars().next().filter(|c| "\"'`".contains(*c))?;
    let inside = text.get(1..)?;
    let end = inside.char_indices().take(LOOK_MAX).find(|(_, c)| *c == quote || *c == '\n').map(|(at, _)| at);
    inside.get(..end?)
}

/// `text` up to a blank, a quote or a mark that ends a value, without the end of a sentence.
fn first_word(text: &str) -> &str {
    let ends = |c: char| c.is_whitespace() || "\"'`,;&".contains(c);
    let end = text.char_indices().take(LOOK_MAX).find(|(_, c)| ends(*c)).map(|(at, _)| at);
    let looked_at = text.char_indices().nth(LOOK_MAX).map_or(text.len(), |(at, _)| at);
    text[..end.unwrap_or(looked_at)].trim_end_matches(['.', ':', '!', '?'])
}

/// Whether `value` only stands for one: `<password>`, `***`, `xxx`, `$VARIABLE`, `{{ value }}`.
fn is_placeholder(value: &str) -> bool {
    let bare = value.trim_matches(|c: char| "()[]\"'`".contains(c)).to_ascii_lowercase();
    value.starts_with(['<', '{', '%'])
        || value.contains("***")
        || is_variable(value)
        || ["redacted", "removed", "undefined"].contains(&bare.as_str())
        || bare.chars().all(|c| "x*.-_#?\u{2022}\u{2026}".contains(c))
}

/// `$NAME`, `${...}` or `$(...)`; a password may begin with a dollar sign and go on otherwise.
fn is_variable(value: &str) -> bool {
    let Some(name) = value.strip_prefix('$') else {
        return false;
    };
    if name.starts_with(['{', '(']) {
        return true;
    }
    let end = name.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && end.chars().all(|c| "/:)]}@".contains(c))
}

/// Whether `value` says where a credential is kept, or is a piece of code: a path, a URL, a
/// call, a type, a member of a configuration, a further assignment such as `deploy=12`.
fn is_reference(value: &str) -> bool {
    let is_path = ["/", "./", "../", "~/"].iter().any(|start| value.starts_with(start));
    let name_length =
        value.bytes().take_while(|byte| is_word(*byte) || *byte == b'.' || *byte == b':').count();
    let (name, rest) = value.split_at(name_length);
    let named = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let is_code =
        named && rest.starts_with(['(', '[', '<']) && rest.ends_with([')', ']', '>', '(', '[', '<']);
    let is_number_named = value
        .split_once('=')
        .is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()));
    let is_member = ["env.", "os.", "process.", "secrets.", "config.", "settings.", "self.", "vars."]
        .iter()
        .any(|owner| value.starts_with(owner));
    is_path || value.contains("://") || is_code || is_number_named || is_member
}

/// Whether a word looks like a password or a key and not like one of prose: a digit or a sign
/// among its letters, or a capital after a small letter.
fn looks_chosen(word: &str) -> bool {
    let has_digit = word.bytes().any(|byte| byte.is_ascii_digit());
    let has_sign = word.bytes().any(|byte| b"!@#$%^+~".contains(&byte));
    let has_hump =
        word.as_bytes().windows(2).any(|two| two[0].is_ascii_lowercase() && two[1].is_ascii_uppercase());
    has_digit || has_sign || has_hump
}

fn bytes_from(text: &str, at: usize) -> &[u8] {
    text.as_bytes().get(at..).unwrap_or_default()
}

fn byte_before(text: &str, at: usize) -> Option<u8> {
    text.as_bytes().get(at.checked_sub(1)?).copied()
}

fn is_upper_or_digit(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

fn is_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_word_or_dash(byte: u8) -> bool {
    is_word(byte) || byte == b'-'
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Letters and digits as they come, so that no real-looking key stands in this file.
    fn drawn(length: usize) -> String {
        "aB3dE5gH7jK9mN2pQ4sT6vW8".chars().cycle().take(length).collect()
    }

    fn upper(length: usize) -> String {
        drawn(length).to_ascii_uppercase()
    }

    #[test]
    fn keys_are_known_by_their_shape() {
        for (parts, kind) in [
            (vec!["AK", "IA", &upper(16)], "an AWS access key"),
            (vec!["id: AS", "IA", &upper(16), ", there"], "an AWS access key"),
            (vec!["gh", "p_", &drawn(36)], "a GitHub token"),
            (vec!["gh", "p_", &"qwertyuiop".repeat(3)], "a GitHub token"),
            (vec!["use \"gh", "s_", &drawn(36), "\""], "a GitHub token"),
            (vec!["github", "_pat_", &drawn(22), "_", &drawn(59)], "a GitHub token"),
            (vec!["gl", "pat-", &drawn(20)], "a GitLab token"),
            (vec!["xo", "xb-", "123456789012-", &drawn(24)], "a Slack token"),
            (vec!["s", "k-", &drawn(48)], "an API key"),
            (vec!["s", "k-proj-", &drawn(40), "_", &drawn(10)], "an API key"),
            (vec!["sk", "_live_", &drawn(24)], "an API key"),
            (vec!["AI", "za", &drawn(35)], "an API key"),
            (vec!["ey", "J", &drawn(30), ".ey", "J", &drawn(60), ".", &drawn(43)], "a JSON web token"),
            (vec!["ey", "J", &drawn(9), ".ey", "J", &drawn(9), ".", &drawn(16)], "a JSON web token"),
            (vec!["-----BEG", "IN OPENSSH PRIVATE ", "KEY-----\nb3Bl"], "a private key"),
            (vec!["x\n-----BEG", "IN PRIVATE ", "KEY-----"], "a private key"),
            (vec!["-----BEG", "IN PGP PRIVATE ", "KEY BLOCK-----"], "a private key"),
            (vec!["curl -H 'Authorization: Bea", "rer ", &drawn(24), "'"], "a bearer token"),
            (vec!["Bea", "rer ", &drawn(20)], "a bearer token"),
        ] {
            let text = parts.concat();
            assert_eq!(credential_in(&text), Some(kind), "{text}");
            assert_eq!(credential_in(&format!("ü {text} ü")), Some(kind), "within: {text}");
        }
    }

    #[test]
    fn passwords_are_known_by_what_stands_before_them() {
        for (parts, kind) in [
            (vec!["https://bob:", "hunter2", "@host/x"], "a password in a URL"),
            (vec!["postgres://", "u:p%40ss", "@db:5432/x"], "a password in a URL"),
            (vec!["redis://:", "hunter2", "@host"], "a password in a URL"),
            (vec!["pass", "word=", "correcthorse"], "a password"),
            (vec!["pass", "word=", "changeme"], "a password"),
            (vec!["pass", "word =        ", "c0rrecthorse"], "a password"),
            (vec!["pass", "word: ", "correctHorse"], "a password"),
            (vec!["pass", "word: ", "correct%horse"], "a password"),
            (vec!["pass", "word=", "$correct%horse"], "a password"),
            (vec!["pass", "word=", "$4correcthorse"], "a password"),
            (vec!["pass", "word=", "correct(horse"], "a password"),
            (vec!["pass", "word=", "(correct-horse)"], "a password"),
            (vec!["pass", "word=", "4correct(horse)"], "a password"),
            (vec!["pass", "word=", "correct=4horse"], "a password"),
            (vec!["pass", "word=", "correcthorse="], "a password"),
            (vec!["DB_PASS", "WORD=", "correcthorse"], "a password"),
            (vec!["Pass", "word: ", "Tr0ub4dor&3x"], "a password"),
            (vec!["pass", "wd:", "correcthorse"], "a password"),
            (vec!["{\"pass", "word\": \"", "correcthorse\"}"], "a password"),
            (vec!["pass", "word = '", "correcthorse'"], "a password"),
            (vec![r#"{\"pass"#, r#"word\": \""#, r#"correcthorse\"}"#], "a password"),
            (vec!["mysql --pass", "word ", "hunter2hunter2"], "a password"),
            (vec!["mysql --pass", "word=", "hunter2hunter2"], "a password"),
            (vec!["Server=x;P", "wd=", "$ecret!23"], "a password"),
            (vec!["client_sec", "ret=", "0a1b2c3d4e"], "a secret"),
            (vec!["clientSec", "ret := \"", "abcdefgh\""], "a secret"),
            (vec!["X-Api-", "Key: ", &drawn(20)], "an API key"),
            (vec!["api_", "key=", &drawn(12)], "an API key"),
            (vec!["aws_secret_access_", "key = ", &drawn(40)], "an access key"),
            (vec!["tok", "en=", &drawn(16)], "an access token"),
            (vec!["https://host/x?tok", "en=", &drawn(16), "&a=b"], "an access token"),
        ] {
            let text = parts.concat();
            assert_eq!(credential_in(&text), Some(kind), "{text}");
        }
    }

    #[test]
    fn ids_sums_and_the_tokens_of_locks_are_none() {
        for text in [
            "commit d8e22ab0c1f24be2a5d5e1f0a9b8c7d6e5f40312 is on main",
            "550e8400-e29b-41d4-a716-446655440000",
            "op 0196f0a0-0000-7000-8000-00000000ffff settled",
            "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "msg_1761751875_2531 answers job_1761781030",
            "MUSTER_LOCK_TOKEN=4",
            "lock token=12",
            "token 3",
            "token: 3, holder build1",
            "token=1761751875",
            "lock token: deploy=1761751875",
            "git muster job add --if-lock deploy=12",
            "max_tokens: 16384000",
            "ASIA and the PACIFIC; AKIA is no word",
            "ghp_ is how they begin, sk- too, and xoxb-your-token-here",
            "disk-0196f0a0000070008000000000000ffff",
            "sk-550e8400-e29b-41d4-a716-446655440000",
            "feature/task-with-a-very-long-name-of-more-than-32-letters",
        ] {
            assert_eq!(credential_in(text), None, "{text}");
        }
    }

    #[test]
    fn prose_and_code_are_none() {
        for text in [
            "",
            "the password is in the vault",
            "password: see the vault",
            "Password: available on request.",
            "The secret: patience. The token: whatever.",
            "use --password instead of --token",
            "rotate the API key: yesterday",
            "a bearer of good news, Bearer authentication required",
            "Bearer 4711",
            "Bearer authentication-of-the-older-kind",
            "password = getPassword()",
            "password = _getPassword(4)",
            "password = app.getPassword(4)",
            "password = Vault::getPassword(4)",
            "password =         c0rrecthorse",
            "password =          c0rrecthorse",
            "token=deploy=1761751875",
            "password = os.environ['DB_PASSWORD']",
            "if token == expected_token {",
            "secret::credential_in and token::Kind",
            "pub token: Option<u64>,",
            "PWD=/root/cloudstack/build",
            "token = config.github.token",
            "secret: vault://builds/deploy",
            "see https://host:8443/a@b and ssh://git@host:22/repo and git@github.com:a/b.git",
            "mailto:bob@example.com, http://host/?q=a:b@c",
            "eyJhbGciOiJIUzI1NiJ9 alone",
            "eyJhbGciOiJ.eyJhbGciOiJ.short",
            "eyJhbGciOiJIUzI1NiJ9.eyJhbGciOiJIUzI1NiJ9.short",
            "eyJ.eyJhbGciOiJIUzI1NiJ9.aB3dE5gH7jK9mN2pQ4sT6vW8",
            "abcdefghijklmnop.eyJhbGciOiJIUzI1NiJ9.aB3dE5gH7jK9mN2pQ4sT6vW8",
            "-----BEGIN CERTIFICATE-----",
            "-----BEGIN PGP PUBLIC KEY BLOCK-----",
            "пароль: в сейфе; 密码：在保险箱里",
        ] {
            assert_eq!(credential_in(text), None, "{text}");
        }
    }

    #[test]
    fn placeholders_are_none() {
        for value in [
            "<password>",
            "<your-token>",
            "********",
            "hu********",
            "xxxxxxxxxxxx",
            "$PASSWORD",
            "$_PASSWORD_1",
            "$PASSWORD/",
            "\"$DB_PASSWORD\"",
            "${PASSWORD}",
            "$(cat /run/x)",
            "${{ secrets.DEPLOY }}",
            "{{ password }}",
            "%PASSWORD%",
            "[REDACTED]",
            "...........",
        ] {
            for head in ["password=", "secret: ", "api_key = "] {
                assert_eq!(credential_in(&format!("{head}{value}")), None, "{head}{value}");
            }
        }
        for text in [
            "https://user:<password>@host",
            "https://user:***@host/",
            "https://user:$PASS@host",
            "https://user:${PASS}@host",
        ] {
            assert_eq!(credential_in(text), None, "{text}");
        }
        assert_eq!(credential_in(&format!("gh{}_{}", 'p', "x".repeat(36))), None);
    }

    /// Texts that make a careless search look at everything again from each place.
    #[test]
    fn long_texts_of_any_shape_are_looked_through() {
        for piece in [
            "sk-",
            "eyJ.",
            "://",
            "://a:",
            "password: ",
            "--password ",
            "token= ",
            "\"secret\"",
            "= ",
            "bearer ",
            "-----BEGIN ",
            "a",
            " ",
            "ü",
        ] {
            assert_eq!(credential_in(&piece.repeat(20_000)), None, "{piece}");
        }
    }
}
