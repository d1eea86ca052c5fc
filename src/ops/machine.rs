//! What tells this machine from others that may use the same name: a random id of this user on it,
//! made by `join` and kept with the user's data.

use crate::host::files::FileError;
use crate::host::{environment, files, random};
use std::path::PathBuf;

fn path() -> PathBuf {
    environment::data_dir().join("machine")
}

/// The id, if it was made.
///
/// # Errors
/// When it is there and cannot be read.
pub fn known() -> Result<Option<String>, FileError> {
    Ok(files::read(&path())?.map(|id| id.trim().to_owned()))
}

/// The id, made once.
///
/// # Errors
/// When it cannot be kept.
pub fn id() -> Result<String, FileError> {
    if let Some(id) = known()? {
        return Ok(id);
    }
    let id = random::id();
    files::write(&path(), &format!("{id}\n"))?;
    Ok(id)
}
