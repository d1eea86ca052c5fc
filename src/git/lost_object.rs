//! Which object of the hub git could not read, by its words.

/// How many hexadecimal digits name an object.
const ID_LENGTH: usize = 40;

/// How many of them name the folder of its file.
const FAN_OUT_LENGTH: usize = 2;

/// The first object that git names in `words`; its file counts as well.
pub(super) fn named_in(words: &str) -> Option<String> {
    let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let of_file = |(folder, rest): (&str, &str)| {
        let folder = folder.get(folder.len().checked_sub(FAN_OUT_LENGTH)?..)?;
        Some(format!("{folder}{rest}"))
    };
    let candidates = words.split(|char: char| !(char.is_ascii_alphanumeric() || char == '/'));
    candidates
        .filter_map(|word| word.rsplit_once('/').map_or_else(|| Some(word.to_owned()), of_file))
        .find(|id| id.len() == ID_LENGTH && is_hex(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_is_found_in_the_words_of_git() {
        let id = "ab719981a2f31d24333f1c617b9897186d2ef77d";
        for words in [
            format!("fatal: unable to read {id}        \nfatal: protocol error: bad pack header"),
            format!("remote: error: object file ./objects/ab/{} is empty", &id[2..]),
            format!("fatal: loose object {id} (stored in ./objects/ab/{}) is corrupt", &id[2..]),
            format!("remote: error: corrupt loose object '{id}'"),
            format!("error: Could not read {id}\nfatal: Failed to traverse parents of {}", "1".repeat(40)),
        ] {
            assert_eq!(named_in(&words).as_deref(), Some(id), "{words}");
        }
        for words in ["", "/", "x/y", "fatal: protocol error: bad pack header", &"g".repeat(40), "é/ab"] {
            assert_eq!(named_in(words), None, "{words}");
        }
    }
}
