//! Checksums of files, whatever their size.

use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// How much of a file is read at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// The SHA-256 of a text in hexadecimal digits.
#[must_use]
pub fn of_text(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The size of a file in bytes and its SHA-256 in hexadecimal digits. It is read until `is_over` says
/// that there is no time for it.
///
/// # Errors
/// When it cannot be read, or there was no time.
pub fn sha256(path: &Path, is_over: &dyn Fn() -> bool) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let (mut digest, mut size, mut chunk) = (Sha256::new(), 0_u64, vec![0_u8; CHUNK_BYTES]);
    loop {
        let length = file.read(&mut chunk)?;
        if length == 0 {
            break;
        }
        if is_over() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        digest.update(chunk.get(..length).unwrap_or_default());
        size = size.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
    }
    let hexadecimal = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((size, hexadecimal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_that_of_sha256sum() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("file");
        for (text, sum) in [
            ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ] {
            crate::machine::files::write(&path, text).expect("written");
            let size = u64::try_from(text.len()).expect("short");
            assert_eq!(sha256(&path, &|| false).expect("reads"), (size, sum.to_owned()));
            assert_eq!(sha256(&path, &|| true).is_err(), !text.is_empty());
        }
    }
}
