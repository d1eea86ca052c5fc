//! Texts as words of a shell, for people to copy.

/// The longest name that anybody types.
const TYPED_LENGTH_MAX: usize = 200;

/// `text` as one word of a shell.
#[must_use]
pub fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// An id or name of the hub as part of a command that is advised: somebody pastes it, or a program does.
/// `blank` where a shell, or a command of ours, could read it as anything else.
#[must_use]
pub fn typed<'a>(text: &'a str, blank: &'a str) -> &'a str {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:@+".contains(&byte);
    let is_word = text.len() <= TYPED_LENGTH_MAX && text.bytes().all(is_plain);
    if is_word && text.starts_with(|first: char| first.is_ascii_alphanumeric()) { text } else { blank }
}

/// A command as a shell would take it.
#[must_use]
pub fn words(command: &[String]) -> String {
    command.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::{quoted, typed, words};

    #[test]
    fn a_command_can_be_copied_into_a_shell() {
        for (command, expected) in [
            (&["make", "-j4", "deb"][..], "make -j4 deb"),
            (&["sh", "-c", "echo $HOME"], "sh -c 'echo $HOME'"),
            (&["echo", "it's", ""], r"echo 'it'\''s' ''"),
        ] {
            let command: Vec<String> = command.iter().map(ToString::to_string).collect();
            assert_eq!(words(&command), expected);
        }
    }

    #[test]
    fn a_word_of_a_shell_stays_one_word() {
        for (text, word) in [
            ("/srv/hub.git", "/srv/hub.git"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("$(rm -rf /)", "'$(rm -rf /)'"),
            ("-rf", "-rf"),
            ("", "''"),
        ] {
            assert_eq!(quoted(text), word);
        }
    }

    #[test]
    fn only_a_plain_word_becomes_part_of_a_command() {
        for word in ["job_1761739200_ab12", "deploy/eu", "018f-7.x", "a:b@c+d"] {
            assert_eq!(typed(word, "ID"), word);
        }
        for trick in
            ["", "-rf", "a b", "$(id)", "a;b", "a`b`", "'a'", "ü", "--all", "x\ntouch y", &"x".repeat(201)]
        {
            assert_eq!(typed(trick, "ID"), "ID", "{trick}");
        }
    }
}
