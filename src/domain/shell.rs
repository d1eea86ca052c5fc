//! Texts as words of a shell, for people to copy.

/// `text` as one word of a shell.
#[must_use]
pub fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A command as a shell would take it.
#[must_use]
pub fn words(command: &[String]) -> String {
    command.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::{quoted, words};

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
}
